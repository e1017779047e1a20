import { join } from "node:path";
import {
  credentials,
  loadPackageDefinition,
  type Client,
  type ClientDuplexStream,
  type GrpcObject,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { SERVICES } from "../deploy/local/stack";
import { packageRoot } from "../shared/process/root";
import { System } from "./system";

type Message = Record<string, unknown>;
type Calls = Client & Record<string, (...args: unknown[]) => unknown>;

let system: System;
const clients: Client[] = [];
beforeAll(async () => {
  system = await System.start();
});
afterAll(async () => {
  clients.forEach((client) => client.close());
  await system.stop();
});

/** A client made of a .proto file at run time; it knows nothing of this code. */
function client(proto: string, service: string, address: string): Calls {
  const definition = loadSync(proto, { enums: String, defaults: true, includeDirs: [join(packageRoot(), "proto")] });
  const found = service
    .split(".")
    .reduce<unknown>((scope, part) => (scope as GrpcObject)[part], loadPackageDefinition(definition));
  const made = new (found as new (...args: unknown[]) => Calls)(address, credentials.createInsecure());
  clients.push(made);
  return made;
}

describe.each(SERVICES)("the %s service, to a client of @grpc/proto-loader alone,", (name) => {
  const own = `lathe.v1.${name[0]!.toUpperCase()}${name.slice(1)}Service`;

  it.each(["v1", "v1alpha"])("lists its services by reflection %s", async (version) => {
    const proto = join(require.resolve("@grpc/reflection"), `../../proto/grpc/reflection/${version}/reflection.proto`);
    const reflection = client(
      proto,
      `grpc.reflection.${version}.ServerReflection`,
      system.stack.addresses()[name].grpc,
    );
    const answer = await new Promise<Message>((resolve, reject) => {
      const call = reflection.ServerReflectionInfo!() as ClientDuplexStream<Message, Message>;
      call.on("data", resolve).on("error", reject);
      call.write({ listServices: "*" });
      call.end();
    });
    const { service } = answer.listServicesResponse as { service: { name: string }[] };
    expect(service.map((one) => one.name).sort()).toEqual(["grpc.health.v1.Health", own]);
  });

  it("says that it and its server are healthy", async () => {
    const health = client("grpc/health/v1/health.proto", "grpc.health.v1.Health", system.stack.addresses()[name].grpc);
    const check = (request: Message) =>
      new Promise((resolve, reject) => {
        health.Check!(request, (error: Error | null, response: Message) => (error ? reject(error) : resolve(response)));
      });
    expect(await check({})).toEqual({ status: "SERVING" });
    expect(await check({ service: own })).toEqual({ status: "SERVING" });
    await expect(check({ service: "lathe.v1.OtherService" })).rejects.toMatchObject({ code: 5 });
  });
});
