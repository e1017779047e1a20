import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ReflectionService } from "@grpc/reflection";
import { contract } from "../process/contract";

/** Server reflection, v1 and v1alpha: lists `services` and describes every file in proto/ and what these files import. */
export function reflection(services: readonly string[]): ReflectionService {
  // The library reads only the descriptors of a definition. Definitions made by @grpc/proto-loader would merge all files
  // of a package into one without imports, in which no client can resolve a type of another package.
  const format = "Protocol Buffer 3 DescriptorProto";
  const files = contract().file.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)));
  const definitions = { proto: { format, type: {}, fileDescriptorProtos: files } } as const;
  return new ReflectionService(definitions, { services: [...services] });
}
