import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, createFileRegistry, equals, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import type { DescFile, DescMessage, FileRegistry, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { Client, credentials, loadPackageDefinition, type ClientDuplexStream, type GrpcObject } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { SERVICES, type ServiceName } from "../cli/stack/stack";
import { packageRoot } from "../shared/process/root";
import { Architecture, SearchSpace } from "../shared/proto/lathe/v1/space";
import { randomArchitecture, randomSpace, uniform } from "../shared/testing/spaces";
import { System } from "./system";

type Message = Record<string, unknown>;

/** A client that has only the protocol of reflection and gets all other types by it. */
interface Explorer {
  services(): Promise<string[]>;
  /** The file that defines a symbol, with all its imports; files that the first answer lacks are requested by name. */
  learn(symbol: string): Promise<FileDescriptorProto[]>;
  /** Calls a unary method as "lathe.v1.SearchService/ListSearches" with messages in proto3 JSON. */
  call(method: string, request: JsonValue): Promise<JsonObject>;
}

let system: System;
const clients: Client[] = [];
beforeAll(async () => {
  system = await System.start();
});
afterAll(async () => {
  clients.forEach((client) => client.close());
  await system.stop();
});

function explore(service: ServiceName, version: string): Explorer {
  const proto = join(require.resolve("@grpc/reflection"), `../../proto/grpc/reflection/${version}/reflection.proto`);
  const protocol = `grpc.reflection.${version}.ServerReflection`
    .split(".")
    .reduce<unknown>((scope, part) => (scope as GrpcObject)[part], loadPackageDefinition(loadSync(proto)));
  const address = system.stack.addresses()[service].grpc;
  type Reflection = Client & { serverReflectionInfo(): ClientDuplexStream<Message, Message> };
  const client = new (protocol as new (...args: unknown[]) => Reflection)(address, credentials.createInsecure());
  clients.push(client);

  const ask = (request: Message) =>
    new Promise<Message>((resolve, reject) => {
      const stream = client.serverReflectionInfo();
      stream.on("data", resolve).on("error", reject);
      stream.write(request);
      stream.end();
    });
  const files = async (request: Message) => {
    const { fileDescriptorResponse, errorResponse } = await ask(request);
    if (errorResponse) throw new Error(`${JSON.stringify(request)}: ${JSON.stringify(errorResponse)}`);
    const { fileDescriptorProto } = fileDescriptorResponse as { fileDescriptorProto: Buffer[] };
    return fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  };
  const learn = async (symbol: string) => {
    const known = new Map<string, FileDescriptorProto>();
    const take = (found: FileDescriptorProto[]) => found.forEach((file) => known.set(file.name, file));
    take(await files({ fileContainingSymbol: symbol }));
    for (;;) {
      const missing = [...known.values()].flatMap(({ dependency }) => dependency).filter((name) => !known.has(name));
      if (missing.length === 0) return [...known.values()];
      take(await files({ fileByFilename: missing[0] }));
    }
  };
  return {
    learn,
    async services() {
      const { listServicesResponse } = await ask({ listServices: "*" });
      return (listServicesResponse as { service: { name: string }[] }).service.map(({ name }) => name).sort();
    },
    async call(method, request) {
      const [name = "", local] = method.split("/");
      const known = registry(await learn(name));
      const { input, output } = known.getService(name)!.methods.find((one) => one.name === local)!;
      const answer = await new Promise<Buffer>((resolve, reject) => {
        const bytes = Buffer.from(toBinary(input, fromJson(input, request, { registry: known })));
        const same = (buffer: Buffer) => buffer;
        client.makeUnaryRequest(`/${method}`, same, same, bytes, (error, value) =>
          error ? reject(error) : resolve(value!),
        );
      });
      return toJson(output, fromBinary(output, answer), { registry: known, alwaysEmitImplicit: true }) as JsonObject;
    },
  };
}

/** Throws where an import is missing, or a field or method names a type that no file defines. */
function registry(files: FileDescriptorProto[]): FileRegistry {
  // A registry needs each file after its imports.
  const inOrder = (name: string): FileDescriptorProto[] =>
    files.filter((file) => file.name === name).flatMap((file) => [...file.dependency.flatMap(inOrder), file]);
  const file = [...new Set(files.flatMap(({ name }) => inOrder(name)))];
  return createFileRegistry(create(FileDescriptorSetSchema, { file }));
}

/** The files of the types of all fields and methods of a file. */
function referredFiles({ messages, services }: DescFile): string[] {
  const ofMessage = ({ fields, nestedMessages }: DescMessage): string[] => [
    ...fields.flatMap(({ message, enum: values }) => [message, values].flatMap((type) => type?.file.proto.name ?? [])),
    ...nestedMessages.flatMap(ofMessage),
  ];
  const ofMethods = services.flatMap(({ methods }) => methods.flatMap(({ input, output }) => [input, output]));
  return [...messages.flatMap(ofMessage), ...ofMethods.map(({ file }) => file.proto.name)];
}

const space = randomSpace(uniform(1));
const ofSpace = {
  space: SearchSpace.toJSON(space) as JsonValue,
  architecture: Architecture.toJSON(randomArchitecture(space, uniform(2))) as JsonValue,
};

/** A call of each service, and the expected part of its answer. */
const CALLS: Record<ServiceName, readonly [method: string, request: JsonValue, answer: unknown]> = {
  search: ["SearchService/ListSearches", { pageSize: 5, states: ["SEARCH_STATE_RUNNING"] }, { searches: [] }],
  supernet: ["SupernetService/DescribeSpace", { spec: { preset: "tiny" } }, { spec: { preset: "tiny" } }],
  shrinking: [
    "ShrinkingService/Decide",
    { ...ofSpace, policy: { threshold: 0.01 }, epoch: 1, epochs: 10 },
    { candidatesLeft: expect.any(Number) as number },
  ],
  discretization: ["DiscretizationService/Discretize", ofSpace, { genotype: { classes: space.classes } }],
  latency: [
    "LatencyService/ListDevices",
    {},
    { devices: expect.arrayContaining([expect.objectContaining({ deviceClass: "cpu", available: true })]) as unknown },
  ],
};

/** The descriptors that buf builds from the contract. */
const contract = fromBinary(
  FileDescriptorSetSchema,
  readFileSync(join(packageRoot(), "shared/proto/descriptors.binpb")),
);

describe.each(SERVICES)("the %s service, to a client that knows nothing but reflection,", (name) => {
  const own = `lathe.v1.${name[0]!.toUpperCase()}${name.slice(1)}Service`;

  describe.each(["v1", "v1alpha"])("version %s,", (version) => {
    it("lists its services", async () => {
      expect(await explore(name, version).services()).toEqual(["grpc.health.v1.Health", own]);
    });

    it("describes them in the files of the contract, in which every type resolves by the file's own imports", async () => {
      const explorer = explore(name, version);
      // Error details carry google.rpc types as Any, which clients resolve by name.
      for (const symbol of [...(await explorer.services()), "google.rpc.BadRequest", "google.rpc.ErrorInfo"]) {
        const files = await explorer.learn(symbol);
        for (const file of registry(files).files)
          expect([file.proto.name, ...file.proto.dependency]).toEqual(expect.arrayContaining(referredFiles(file)));
        for (const file of files) {
          const built = contract.file.find((one) => one.name === file.name);
          expect({ file: file.name, same: built && equals(FileDescriptorProtoSchema, file, built) }).toEqual({
            file: file.name,
            same: true,
          });
        }
      }
    });

    it("is called, and so is its health", async () => {
      const explorer = explore(name, version);
      const [method, request, answer] = CALLS[name];
      expect(await explorer.call(`lathe.v1.${method}`, request)).toMatchObject(answer as object);
      expect(await explorer.call("grpc.health.v1.Health/Check", {})).toEqual({ status: "SERVING" });
      expect(await explorer.call("grpc.health.v1.Health/Check", { service: own })).toEqual({ status: "SERVING" });
      const unknown = explorer.call("grpc.health.v1.Health/Check", { service: "lathe.v1.OtherService" });
      await expect(unknown).rejects.toMatchObject({ code: 5 });
    });
  });
});
