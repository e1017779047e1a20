import { fromBinary, type DescMessage } from "@bufbuild/protobuf";
import { createRandom } from "../../shared/engine/random";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { initialArchitecture } from "../../shared/space/groups";
import { largestGenotype } from "../../shared/space/genotype";
import { resolve } from "../../shared/spec/resolve";
import { examplesOf } from "./examples";
import { mutated } from "./draw";
import { decode, encode, isMessage, type Message } from "./message";
import { planOf, requestOf, type Call, type Kind } from "./plan";
import { idOf, objectsOf, standIns, substitute, tokenLike } from "./roles";
import { rpcs } from "./rpcs";
import { pick } from "./values";

const { space } = resolve(SearchSpec.fromPartial({ preset: "tiny" }));
const artifact = { object: "s-abcdefghijkl/0123456789ab/network.onnx", kind: "network.onnx", sha256: "", sizeBytes: 0 };
const examples = examplesOf({
  space,
  architectures: [initialArchitecture(space)],
  genotype: largestGenotype(space),
  objects: objectsOf([{ ...artifact, mediaType: "" }]),
  pageToken: tokenLike("a page token"),
});

/** Every field that a request of a type can hold, as "Stage.widths". */
function fieldsOf(type: DescMessage, found = new Set<string>()): Set<string> {
  for (const field of type.fields) {
    const name = `${type.name}.${field.name}`;
    if (found.has(name)) continue;
    found.add(name);
    if (field.message) fieldsOf(field.message, found);
  }
  return found;
}

const written = ({ type, entries }: Message): string[] =>
  entries.flatMap(({ field, value }) => [`${type.name}.${field.name}`, ...(isMessage(value) ? written(value) : [])]);

/** Fields whose values differ from those of every example, or that no example holds. */
function changed(message: Message, valid: ReadonlySet<string>): string[] {
  return message.entries.flatMap(({ field, key, value }) => {
    const name = `${message.type.name}.${field.name}`;
    if (isMessage(value)) return [...(valid.has(name) ? [] : [name]), ...changed(value, valid)];
    return valid.has(`${name} ${String(key)} ${String(value)}`) ? [] : [name];
  });
}

const valuesOf = ({ type, entries }: Message): string[] =>
  entries.flatMap(({ field, key, value }) => {
    const name = `${type.name}.${field.name}`;
    return isMessage(value) ? [name, ...valuesOf(value)] : [`${name} ${String(key)} ${String(value)}`];
  });

describe("every rpc", () => {
  it("has valid examples, which the contract can read", () => {
    expect(rpcs().length).toBeGreaterThan(20);
    expect(Object.keys(examples.requests).sort()).toEqual(
      rpcs()
        .map(({ name }) => name)
        .sort(),
    );
    for (const { name, input } of rpcs())
      for (const bytes of examples.requests[name]!)
        expect(fromBinary(input, encode(decode(input, bytes)))).toEqual(fromBinary(input, bytes));
  });

  it.each(rpcs().map((rpc) => [rpc.name, rpc] as const))("%s: typed requests hold each field", (_, rpc) => {
    const random = createRandom(1, rpc.name);
    const missing = fieldsOf(rpc.input);
    for (let tries = 0; missing.size > 0 && tries < 3000; tries++)
      written(decode(rpc.input, requestOf("typed", rpc, random, examples))).forEach((name) => missing.delete(name));
    expect([...missing]).toEqual([]);
  });

  it.each(rpcs().map((rpc) => [rpc.name, rpc] as const))("%s: mutated requests change each field", (_, rpc) => {
    const random = createRandom(1, rpc.name);
    const missing = fieldsOf(rpc.input);
    const valid = new Set(examples.requests[rpc.name]!.flatMap((bytes) => valuesOf(decode(rpc.input, bytes))));
    // A message counts as changed with a field in it.
    for (const name of [...missing]) if (valid.has(name)) missing.delete(name);
    const messages = examples.requests[rpc.name]!.map((bytes) => decode(rpc.input, bytes));
    for (let tries = 0; missing.size > 0 && tries < 5000; tries++)
      changed(mutated(pick(random, messages), random, examples.known), valid).forEach((name) => missing.delete(name));
    expect([...missing]).toEqual([]);
  });

  it.each<Kind>(["truncated", "flipped", "random"])("gets %s bytes that the contract cannot read", (kind) => {
    for (const rpc of rpcs()) {
      if (kind !== "random" && examples.requests[rpc.name]!.every(({ length }) => length === 0)) continue;
      const random = createRandom(1, rpc.name);
      const isBroken = () => {
        try {
          fromBinary(rpc.input, requestOf(kind, rpc, random, examples));
          return false;
        } catch {
          return true;
        }
      };
      expect({ rpc: rpc.name, broken: Array(500).fill(0).some(isBroken) }).toEqual({ rpc: rpc.name, broken: true });
    }
  });
});

it("a seed gives the same calls each time, in any order, and another seed others", () => {
  const callsOf = (seed: number, order: readonly number[]) => order.map(planOf(seed, rpcs(), examples));
  // Descriptors are large and equal.
  const plain = (calls: readonly Call[]) =>
    calls.map(({ rpc, bytes, ...rest }) => ({ ...rest, path: rpc.path, bytes: Buffer.from(bytes).toString("hex") }));
  const numbers = Array.from({ length: 300 }, (_, number) => number);
  const calls = callsOf(1, numbers);
  expect(plain(callsOf(1, numbers.toReversed()).toReversed())).toEqual(plain(calls));
  expect(plain(callsOf(2, numbers))).not.toEqual(plain(calls));
  expect(new Set(calls.map(({ kind }) => kind)).size).toBe(6);
  expect(new Set(calls.map(({ rpc }) => rpc.name)).size).toBe(rpcs().length);
});

it("ids and objects of a run take the places of their stand-ins, in broken bytes too", () => {
  const ids = {
    waiting: "s-1",
    running: "s-2",
    paused: "s-3",
    ended: "s-abcdefghijkl",
    cancelled: "s-5",
    deleted: "s-6",
  };
  const standing = standIns(ids, [{ ...artifact, mediaType: "" }], "a page token");
  const text = `\xff${idOf("ended")}/fuzzobject00/network.onnx, ${idOf("ended")}, ${tokenLike("a page token")}`;
  const expected = `\xff${artifact.object}, s-abcdefghijkl, a page token`;
  expect(substitute(Buffer.from(text, "latin1"), standing).toString("latin1")).toBe(expected);
});
