import { read } from "../../shared/process/config";
import { schema } from "./config";

const fault =
  'LATHE_PRECISION is "float16": must be float32, or else LATHE_ENGINE onnxruntime and LATHE_PROVIDER cuda or tensorrt';

it("takes a low precision for a GPU of ONNX Runtime, and refuses it elsewhere by name, value and what it wants", () => {
  const given = (env: Record<string, string>) => read(schema, { LATHE_PRECISION: "float16", ...env }).LATHE_PRECISION;
  expect(read(schema, {}).LATHE_PRECISION).toBe("float32");
  for (const LATHE_PROVIDER of ["cuda", "tensorrt"]) expect(given({ LATHE_PROVIDER })).toBe("float16");
  for (const env of [{}, { LATHE_PROVIDER: "cuda", LATHE_ENGINE: "tensorflow" }])
    expect(() => given(env)).toThrow(`configuration: ${fault}`);
});
