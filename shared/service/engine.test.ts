import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Facts } from "../process/http";
import { read } from "../process/config";
import { dataAccessOf, engineSchema, startEngine } from "./engine";

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

it.each([
  ["LATHE_GRPC_HOST", "0.0.0.0"],
  ["LATHE_NATS_URL", "nats://127.0.0.1:4222,nats://nats:4222"],
])("needs LATHE_DATA_FOLDER where %s is %s", (name, value) => {
  const folder = (env: Record<string, string>) => read(schema, { [name]: value, ...env }).LATHE_DATA_FOLDER;
  expect(() => folder({})).toThrow(
    "LATHE_DATA_FOLDER is not set: must name the folders of the data sets, or be none, where LATHE_GRPC_HOST or LATHE_NATS_URL is not loopback",
  );
  expect(() => folder({ LATHE_DATA_FOLDER: "/data:sets" })).toThrow(
    'LATHE_DATA_FOLDER is "/data:sets": must be absolute paths of folders, separated by ":", or none',
  );
  expect(folder({ LATHE_DATA_FOLDER: "/data:/more" })).toEqual(["/data", "/more"]);
  expect(folder({ LATHE_DATA_FOLDER: "none" })).toEqual([]);
  expect(read(schema, { LATHE_NATS_URL: "nats://localhost:4222,nats://[::1]:1" }).LATHE_DATA_FOLDER).toBeUndefined();
});

it("reports the data sets of the data folders, or why they cannot be read", async () => {
  const facts: Facts = {};
  const path = `${__dirname}/none`;
  await startEngine(read(schema, { LATHE_THREADS: "3", LATHE_DATA_FOLDER: `${__dirname}:${path}` }), facts);
  expect(facts.engine?.()).toEqual({ engine: "onnxruntime", provider: "cpu", precision: "float32", threads: 3 });
  expect(await facts.dataFolders?.()).toEqual([
    { path: __dirname, dataSets: [] },
    { path, fault: "ENOENT" },
  ]);
});

describe("the folder of decoded images", () => {
  const root = mkdtempSync(join(tmpdir(), "lathe-engine-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const config = (LATHE_DATA_CACHE: string, LATHE_DATA_CACHE_SIZE = "1") =>
    read(schema, { LATHE_THREADS: "1", LATHE_DATA_CACHE, LATHE_DATA_CACHE_SIZE });

  it("is created, and handed to the processes that read data sets", async () => {
    const folder = join(root, "decoded");
    await startEngine(config(folder, "3"), {});
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(dataAccessOf(config(folder, "3"))).toEqual({ folders: undefined, cache: { folder, bytes: 3 * 2 ** 20 } });
    expect(dataAccessOf(config("none")).cache).toBeUndefined();
    expect(dataAccessOf(read(schema, {})).cache).toBeUndefined();
    expect(() => config("relative")).toThrow(
      'LATHE_DATA_CACHE is "relative": must be the absolute path of a folder, or none',
    );
  });

  it("is refused where it cannot be written, or where everyone can", async () => {
    const [file, open] = [join(root, "file"), join(root, "open")];
    writeFileSync(file, "");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const refusal = (path: string, why: string) => ({
      code: "FAILED_PRECONDITION",
      message: `LATHE_DATA_CACHE is "${path}": must be a folder in which this account can write, and not all users, or none (${why})`,
    });
    await expect(startEngine(config(join(file, "a")), {})).rejects.toMatchObject(refusal(join(file, "a"), "ENOTDIR"));
    await expect(startEngine(config(join(root, "a/b")), {})).rejects.toMatchObject(
      refusal(join(root, "a/b"), "ENOENT"),
    );
    await expect(startEngine(config(file), {})).rejects.toMatchObject(refusal(file, "it is no folder"));
    await expect(startEngine(config(open), {})).rejects.toMatchObject(refusal(open, "it is open to all users"));
  });
});
