import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import * as ort from "onnxruntime-node";
import { requireSelfContained } from "./external";
import { openModel } from "./model";

type Fields = readonly (readonly [number, string | number | Uint8Array])[];

function message(fields: Fields): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of fields)
    if (typeof value === "number") writer.tag(number, 0).int32(value);
    else writer.tag(number, 2).bytes(typeof value === "string" ? Buffer.from(value) : value);
  return writer.finish();
}

/** A tensor of four bytes that are in a file. */
const external = (location: string) =>
  message([
    [1, 4],
    [2, 2],
    [8, "w"],
    [13, message([[1, "location"], [2, location]])], // prettier-ignore
    [14, 1],
  ]);
const inside = message([
  [1, 4],
  [2, 2],
  [8, "w"],
  [9, "abcd"],
]);
const type = message([[1, message([[1, 2], [2, message([[1, message([[1, 4]])]])]])]]); // prettier-ignore
const identity = message([
  [1, "w"],
  [2, "y"],
  [4, "Identity"],
]);
const modelOf = (graph: Fields, more: Fields = []) =>
  message([
    [1, 8],
    [7, message([[1, identity], [2, "g"], ...graph, [12, message([[1, "y"], [2, type]])]])], // prettier-ignore
    [8, message([[1, ""], [2, 13]])], // prettier-ignore
    ...more,
  ]);
const attribute = (field: number, bytes: Uint8Array): Fields[number] => [
  1,
  message([
    [2, "z"],
    [4, "Constant"],
    [5, message([[1, "value"], [field, bytes]])], // prettier-ignore
  ]),
];

const refusal = 'the model has tensor "w" in another file (external data), must have all of its weights in itself';

it("refuses a model whose weights ONNX Runtime would read from a file beside this process", async () => {
  const folder = mkdtempSync(join(process.cwd(), "node_modules/.external-"));
  try {
    writeFileSync(join(folder, "secret"), "1234");
    const bytes = modelOf([[5, external(join(folder, "secret").slice(process.cwd().length + 1))]]);
    const session = await ort.InferenceSession.create(bytes);
    expect([...((await session.run({})).y!.data as Uint8Array)]).toEqual([..."1234"].map((c) => c.charCodeAt(0)));
    await session.release();
    const opened = openModel(bytes, { provider: "cpu", threads: 1 });
    await expect(opened).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "MODEL_UNSUPPORTED",
      message: refusal,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it.each<[string, Uint8Array]>([
  ["an attribute", modelOf([attribute(5, external("x"))])],
  ["a list of an attribute", modelOf([attribute(10, external("x"))])],
  ["a graph in an attribute", modelOf([attribute(6, message([[5, external("x")]]))])],
  ["a sparse tensor", modelOf([[15, message([[1, external("x")]])]])],
  ["a function", modelOf([], [[25, message([[7, attribute(5, external("x"))[1]]])]])],
])("finds it in %s", (_, bytes) => {
  expect(() => requireSelfContained(bytes)).toThrow(refusal);
});

it("lets a model pass that has its weights, and refuses graphs within graphs without end", () => {
  expect(() => requireSelfContained(modelOf([[5, inside], attribute(5, inside)]))).not.toThrow();
  let graph = message([[5, inside]]);
  for (let depth = 0; depth < 40; depth++) graph = message([attribute(6, graph)]);
  expect(() => requireSelfContained(message([[7, graph]]))).toThrow("graphs in graphs more than 64 messages deep");
});
