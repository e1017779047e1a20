import type { DescField, DescFile, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { descriptors } from "../process/contract";
import { LatheError, type FieldViolation } from "../process/errors";
import type { SearchSpec } from "../proto/lathe/v1/spec";
import { genotypeViolations, largestGenotype } from "../space/genotype";
import { spaceViolations } from "../space/validate";
import type { Bounds } from "../spec/bounds";
import { resolve } from "../spec/resolve";
import { randomSpace, uniform } from "../testing/spaces";
import { BOUNDS, CHECKED_AS_A_WHOLE, maxRequestBytes } from "./bounds";

const services = [...descriptors()].filter((one): one is DescService => one.kind === "service");
const methods = services.flatMap((service) => service.methods.map((method) => [service, method] as const));

/** Every message that a request holds. */
const messages = new Set<DescMessage>();
const collect = (message: DescMessage) => {
  if (messages.has(message)) return;
  messages.add(message);
  for (const { message: below } of message.fields) if (below) collect(below);
};
for (const [, { input }] of methods) collect(input);

const fields = [...messages].flatMap((message) => message.fields);
const nameOf = (field: DescField) => `${field.parent.name}.${field.name}`;
const boundOf = (field: DescField) => BOUNDS[field.parent.name]?.[field.name] ?? {};
/** Contracts of others, whose comments are not ours. */
const own = ({ proto }: DescFile) => proto.package === "lathe.v1";

/** The comment above a part of a file; `path` is its place in the file's descriptor. */
function comment({ proto }: DescFile, ...path: number[]): string {
  const found = proto.sourceCodeInfo?.location.find((one) => one.path.join() === path.join());
  return found?.leadingComments.replace(/\s+/g, " ") ?? "";
}
const placeOf = <T>(list: readonly { name: string }[], { name }: T & { name: string }) =>
  list.findIndex((one) => one.name === name);
const aboveMessage = (message: DescMessage) =>
  comment(message.file, 4, placeOf(message.file.proto.messageType, message));
const aboveField = (field: DescField) =>
  comment(
    field.parent.file,
    4,
    placeOf(field.parent.file.proto.messageType, field.parent),
    2,
    field.parent.fields.indexOf(field),
  );
const aboveService = (service: DescService) => comment(service.file, 6, placeOf(service.file.proto.service, service));
const aboveMethod = (service: DescService, method: DescMethod) =>
  comment(service.file, 6, placeOf(service.file.proto.service, service), 2, service.methods.indexOf(method));

/** Whether a text has a number, written in digits, in words or as a power of ten. */
function states(text: string, number: number): boolean {
  const forms = [String(number), number.toExponential().replace("+", ""), ...(number === 2 ? ["two"] : [])];
  return text.split(/[^\w.-]+|\.(?!\d)/).some((word) => forms.includes(word));
}

describe("the bounds of requests", () => {
  it("hold for every string, number, list and map", () => {
    const unbounded = fields.filter((field) => {
      const { entries, characters, bytes, number } = boundOf(field);
      const repeated = field.fieldKind === "list" || field.fieldKind === "map";
      if (repeated && entries === undefined) return true;
      if (field.message || field.enum) return false;
      if (field.scalar === ScalarType.BOOL) return false;
      if (field.scalar === ScalarType.BYTES) return bytes === undefined;
      return field.scalar === ScalarType.STRING ? characters === undefined : number === undefined;
    });
    expect(unbounded.map(nameOf)).toEqual([]);
  });

  it("are those of fields that exist", () => {
    const known = new Set(fields.map(nameOf));
    const rows = Object.entries(BOUNDS).flatMap(([message, row]) =>
      Object.keys(row).map((name) => `${message}.${name}`),
    );
    expect(rows.filter((name) => !known.has(name))).toEqual([]);
    const names = new Set([...messages].map(({ name }) => name));
    expect([...CHECKED_AS_A_WHOLE].filter((name) => !names.has(name))).toEqual([]);
  });

  it.each(fields.filter(({ parent }) => own(parent.file)).map((field) => [nameOf(field), field] as const))(
    "are stated in the comment of %s",
    (_, field) => {
      const text = `${aboveField(field)} ${aboveMessage(field.parent)}`;
      const { entries, inAll, characters, bytes, number } = boundOf(field);
      const numbers = [entries, inAll, characters, bytes, ...(number ? [number.min, number.max] : [])];
      expect(numbers.filter((value) => value !== undefined && !states(text, value))).toEqual([]);
    },
  );

  it.each(
    methods.filter(([{ file }]) => own(file)).map(([service, method]) => [method.name, service, method] as const),
  )("in bytes are stated in the comment of %s or of its service", (_, service, method) => {
    const kib = maxRequestBytes(`/${service.typeName}/${method.name}`) / 1024;
    const [above, general] = [aboveMethod(service, method), aboveService(service)];
    const stated = /request has at most (\d+ [KM]iB)/;
    const [, size] = stated.exec(above) ?? stated.exec(general) ?? [];
    expect(size).toBe(kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`);
  });
});

describe("messages that are checked as a whole have the same bounds", () => {
  const outside = ({ integer, min, max, open }: Bounds) => {
    const step = integer ? 1 : 1e-6;
    return [open === "ends" ? min : min - step, open === undefined ? max + step : max];
  };
  const faults = (check: () => FieldViolation[]) => {
    try {
      return check().map(({ field }) => field);
    } catch (error) {
      return LatheError.from(error).violations.map(({ field }) => field);
    }
  };
  const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const numbers = (message: string) =>
    Object.entries(BOUNDS[message] ?? {}).flatMap(([name, { entries, number }]) =>
      number && entries === undefined ? outside(number).map((value) => [message, name, value] as const) : [],
    );

  const sections = descriptors()
    .getMessage("lathe.v1.SearchSpec")!
    .fields.filter(({ message }) => message);
  it.each(sections.flatMap((section) => numbers(section.message!.name).map((row) => [...row, section.name] as const)))(
    "%s.%s %d",
    (_, name, value, section) => {
      const spec = {
        preset: "tiny",
        labels: {},
        [section]: { stages: [], dilations: [], scales: [], [camel(name)]: value },
      };
      expect(faults(() => (resolve(spec as unknown as SearchSpec), []))).toContain(`${section}.${name}`);
    },
  );

  const any = randomSpace(uniform(1));
  it.each(numbers("SearchSpace"))("%s.%s %d", (_, name, value) => {
    expect(faults(() => spaceViolations({ ...any, [camel(name)]: value }))).toContain(name);
  });
  it.each(numbers("Stage"))("%s.%s %d", (_, name, value) => {
    const stages = [{ ...any.stages[0]!, [camel(name)]: value }, any.stages[1]!];
    expect(faults(() => spaceViolations({ ...any, stages }))).toContain(`stages[0].${name}`);
  });
  const network = largestGenotype(any);
  it.each(numbers("Genotype"))("%s.%s %d", (_, name, value) => {
    expect(faults(() => genotypeViolations({ ...network, [camel(name)]: value }))).toContain(name);
  });
  it.each(numbers("GenotypeBlock"))("%s.%s %d", (_, name, value) => {
    const [first, ...others] = network.stages;
    const [block, ...blocks] = first!.blocks;
    const stages = [{ ...first!, blocks: [{ ...block!, [camel(name)]: value }, ...blocks] }, ...others];
    expect(faults(() => genotypeViolations({ ...network, stages }))).toContain(`stages[0].blocks[0].${name}`);
  });
});
