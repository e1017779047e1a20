import type { Facts } from "../process/http";
import { read } from "../process/config";
import { engineSchema, startEngine } from "./engine";

const schema = engineSchema({});

const fault =
  'LATHE_PRECISION is "float16": must be float32, or else LATHE_ENGINE onnxruntime and LATHE_PROVIDER cuda or tensorrt';

it("accepts a low precision on a GPU of ONNX Runtime, and refuses it elsewhere with name, value and condition", () => {
  const given = (env: Record<string, string>) => read(schema, { LATHE_PRECISION: "float16", ...env }).LATHE_PRECISION;
  expect(read(schema, {}).LATHE_PRECISION).toBe("float32");
  for (const LATHE_PROVIDER of ["cuda", "tensorrt"]) expect(given({ LATHE_PROVIDER })).toBe("float16");
  for (const env of [{}, { LATHE_PROVIDER: "cuda", LATHE_ENGINE: "tensorflow" }])
    expect(() => given(env)).toThrow(`configuration: ${fault}`);
});

it("reports the data sets of the data folder, or why it cannot be read", async () => {
  const facts: Facts = {};
  await startEngine(read(schema, { LATHE_THREADS: "3", LATHE_DATA_FOLDER: __dirname }), facts);
  expect(facts.engine?.()).toEqual({ engine: "onnxruntime", provider: "cpu", precision: "float32", threads: 3 });
  expect(await facts.dataFolder?.()).toEqual({ path: __dirname, dataSets: [] });
  const path = `${__dirname}/none`;
  await startEngine(read(schema, { LATHE_DATA_FOLDER: path }), facts);
  expect(await facts.dataFolder?.()).toEqual({ path, fault: "ENOENT" });
});
