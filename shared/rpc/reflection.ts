import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type {
  handleBidiStreamingCall,
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { contract } from "../process/contract";

const NAME = "ServerReflectionInfo";

/** The method of reflection in one version of its protocol. */
interface Method {
  definition: MethodDefinition<unknown, unknown>;
  handle: handleBidiStreamingCall<unknown, unknown>;
}

/**
 * Adds server reflection, v1 and v1alpha, which lists `services` and describes every file in proto/ and what these files import. The
 * descriptors are read at the first call: at the start they would cost a service a third of its CPU time and 11 MiB.
 */
export function addReflection(server: Server, services: readonly string[]): void {
  let methods: Map<string, Method> | undefined;
  for (const version of ["v1", "v1alpha"]) {
    const path = `/grpc.reflection.${version}.ServerReflection/${NAME}`;
    const method = () => (methods ??= readMethods(services)).get(path)!;
    const definition: Method["definition"] = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (request) => method().definition.requestSerialize(request),
      requestDeserialize: (bytes) => method().definition.requestDeserialize(bytes),
      responseSerialize: (response) => method().definition.responseSerialize(response),
      responseDeserialize: (bytes) => method().definition.responseDeserialize(bytes),
    };
    const handle: Method["handle"] = (call) => method().handle(call);
    server.addService({ [NAME]: definition }, { [NAME]: handle });
  }
}

/** The methods of @grpc/reflection, by their path. */
function readMethods(services: readonly string[]): Map<string, Method> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
  const { ReflectionService } = require("@grpc/reflection") as typeof import("@grpc/reflection");
  // The library reads only the descriptors of a definition. Definitions made by @grpc/proto-loader would merge all files
  // of a package into one without imports, in which no client can resolve a type of another package.
  const format = "Protocol Buffer 3 DescriptorProto";
  const files = contract().file.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)));
  const definitions = { proto: { format, type: {}, fileDescriptorProtos: files } } as const;
  const methods = new Map<string, Method>();
  const recorder: Pick<Server, "addService"> = {
    addService(service: ServiceDefinition, handlers: UntypedServiceImplementation) {
      const definition = service[NAME]!;
      methods.set(definition.path, { definition, handle: handlers[NAME] as Method["handle"] });
    },
  };
  new ReflectionService(definitions, { services: [...services] }).addToServer(recorder);
  return methods;
}
