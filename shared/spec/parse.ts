import { ScalarType, type DescEnum, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { LineCounter, parseDocument } from "yaml";
import { LatheError, type FieldViolation } from "../process/errors";
import { Genotype } from "../proto/lathe/v1/space";
import { SearchSpec } from "../proto/lathe/v1/spec";
import { refuse } from "../space/validate";
import { messageType } from "../process/contract";

/** More than any spec has. A larger file is not a spec. */
const MAX_TEXT_LENGTH = 1_000_000;

/**
 * Parses a SearchSpec from YAML or JSON. Keys are snake_case or lowerCamelCase, enum values short ("streets") or full; null means not set.
 * INVALID_ARGUMENT with every unknown field and wrong type at once, or with the line of a syntax error. Bounds are checked by resolve.
 */
export function parseSpec(text: string, source: string): SearchSpec {
  const content = readContent(text, source, 'a spec needs at least "preset: tiny"');
  return SearchSpec.fromJSON(readWhole("SearchSpec", content, source, "INVALID_SPEC"));
}

/** Parses a Genotype from JSON or YAML, as parseSpec does a spec. Values are checked by validateGenotype. */
export function parseGenotype(text: string, source: string): Genotype {
  const content = readContent(text, source, "a genotype needs sizes and stages");
  return Genotype.fromJSON(readWhole("Genotype", content, source, "INVALID_GENOTYPE"));
}

/** Some fields of a SearchSpec, in proto3 JSON form. */
export type SpecFields = Record<string, unknown>;

/** Reads fields of a spec from plain values (readContent), by the rules of parseSpec. Faults go to `violations`, under `path`. */
export function readSpecFields(content: unknown, path: string, violations: FieldViolation[]): SpecFields {
  return readMessage(messageType("SearchSpec"), content, path, violations);
}

function readWhole(name: "SearchSpec" | "Genotype", content: unknown, source: string, reason: string): object {
  const violations: FieldViolation[] = [];
  const value = readMessage(messageType(name), content, "", violations);
  refuse(reason, source, violations);
  return value;
}

/** Reads YAML or JSON as plain values. INVALID_ARGUMENT with the line of a syntax error. `needs` completes the error for an empty text. */
export function readContent(text: string, source: string, needs: string): unknown {
  if (text.length > MAX_TEXT_LENGTH) {
    const message = `${source} has ${text.length} characters, must have at most ${MAX_TEXT_LENGTH}`;
    throw new LatheError("INVALID_ARGUMENT", message);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const error = document.errors[0] ?? document.warnings[0];
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new LatheError("INVALID_ARGUMENT", `${source}:${line}:${col} is not YAML or JSON: ${error.message}`, {
      reason: "INVALID_SYNTAX",
    });
  }
  const content: unknown = plain(document, source);
  if (content === null || content === undefined)
    throw new LatheError("INVALID_ARGUMENT", `${source} is empty, ${needs}`);
  return content;
}

function plain(document: ReturnType<typeof parseDocument>, source: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // Aliases without an anchor, or with endless expansion.
    throw new LatheError("INVALID_ARGUMENT", `${source} cannot be read: ${LatheError.from(error).message}`, {
      reason: "INVALID_SYNTAX",
      cause: error,
    });
  }
}

/** Reads a message into proto3 JSON form (lowerCamelCase keys, full enum names). Faults go to `violations`; faulty fields are left out. */
function readMessage(
  type: DescMessage,
  value: unknown,
  path: string,
  violations: FieldViolation[],
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  if (!isMapping(value)) {
    const description = `is ${show(value)}, must be a mapping of ${known(type)}`;
    violations.push({ field: path || "(top level)", description });
    return result;
  }
  for (const [key, entry] of Object.entries(value)) {
    const field = type.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    const at = path === "" ? (field?.name ?? key) : `${path}.${field?.name ?? key}`;
    const target = field?.jsonName ?? key;
    if (field === undefined)
      violations.push({
        field: at,
        description: `is ${show(entry)}, but there is no such field; known: ${known(type)}`,
      });
    else if (Object.hasOwn(result, target))
      violations.push({ field: at, description: "is there twice, in snake_case and in lowerCamelCase" });
    else if (entry !== null) result[target] = readField(field, entry, at, violations);
  }
  return result;
}

function readField(field: DescField, value: unknown, path: string, violations: FieldViolation[]): unknown {
  if (field.fieldKind === "map") {
    if (!isMapping(value)) {
      violations.push({ field: path, description: `is ${show(value)}, must be a mapping` });
      return {};
    }
    // The generated code would take this key for the prototype of the object, and drop the entry.
    if (Object.hasOwn(value, "__proto__"))
      violations.push({ field: `${path}["__proto__"]`, description: "has a reserved key, must have another" });
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, readSingle(field, entry, `${path}["${key}"]`, violations)]),
    );
  }
  if (field.fieldKind !== "list") return readSingle(field, value, path, violations);
  if (Array.isArray(value))
    return value.map((entry: unknown, index) => readSingle(field, entry, `${path}[${index}]`, violations));
  violations.push({ field: path, description: `is ${show(value)}, must be a list` });
  return [];
}

function readSingle(field: DescField, value: unknown, path: string, violations: FieldViolation[]): unknown {
  if (field.message) return readMessage(field.message, value, path, violations);
  const read = field.enum ? readEnum(field.enum, value) : readScalar(field.scalar, value);
  if ("fault" in read) {
    violations.push({ field: path, description: `is ${show(value)}, must be ${read.fault}` });
    return undefined;
  }
  return read.value;
}

type Read = { value: unknown } | { fault: string };

/** "streets" or "DATASET_KIND_STREETS" for the value DATASET_KIND_STREETS. */
function readEnum(type: DescEnum, value: unknown): Read {
  const names = type.values.map(({ name }) => name);
  const zero = type.values.find(({ number }) => number === 0)!.name;
  const prefix = zero.replace(/UNSPECIFIED$/, "");
  const found = names.find((name) => name === value || name.slice(prefix.length).toLowerCase() === value);
  if (found !== undefined) return { value: found };
  const short = names.filter((name) => name !== zero).map((name) => name.slice(prefix.length).toLowerCase());
  return { fault: `one of ${short.join(", ")}` };
}

/** One rule per scalar type of the contract. */
const SCALARS: Partial<Record<ScalarType, { accepts: (value: unknown) => boolean; name: string }>> = {
  [ScalarType.INT32]: { accepts: (value) => isInteger(value, -(2 ** 31), 2 ** 31 - 1), name: "an integer of 32 bits" },
  [ScalarType.UINT32]: {
    accepts: (value) => isInteger(value, 0, 2 ** 32 - 1),
    name: "an integer between 0 and 4294967295",
  },
  [ScalarType.DOUBLE]: { accepts: (value) => Number.isFinite(value), name: "a finite number" },
  [ScalarType.BOOL]: { accepts: (value) => typeof value === "boolean", name: "true or false" },
  [ScalarType.STRING]: { accepts: (value) => typeof value === "string", name: "text (put numbers in quotes)" },
};

function readScalar(type: ScalarType, value: unknown): Read {
  const rule = SCALARS[type];
  if (rule === undefined)
    throw new LatheError("INTERNAL", `spec.proto has a field of type ${ScalarType[type]}, which no rule reads`);
  return rule.accepts(value) ? { value } : { fault: rule.name };
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** Whether a value is a YAML mapping. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function known(type: DescMessage): string {
  return type.fields.map((field) => field.name).join(", ");
}

/** A value as JSON, shortened for a message. */
export function show(value: unknown): string {
  if (typeof value === "number") return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}
