import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ReflectionService } from "@grpc/reflection";
import { LatheError } from "../process/errors";

/** Written by `npm run generate`; the build copies it to the same place in dist/. */
const descriptorSet = join(__dirname, "..", "proto", "descriptors.binpb");

/** Server reflection, v1 and v1alpha: lists `services` and describes every file in proto/ and what these files import. */
export function reflection(services: readonly string[]): ReflectionService {
  // The library reads only the descriptors of a definition. Definitions made by @grpc/proto-loader would merge all files
  // of a package into one without imports, in which no client can resolve a type of another package.
  const format = "Protocol Buffer 3 DescriptorProto";
  const definitions = { proto: { format, type: {}, fileDescriptorProtos: descriptors() } } as const;
  return new ReflectionService(definitions, { services: [...services] });
}

/** The FileDescriptorProto of each file. On the wire a FileDescriptorSet is one length-delimited field per file. */
function descriptors(): Buffer[] {
  const reader = new BinaryReader(read());
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    reader.tag();
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}

function read(): Buffer {
  try {
    return readFileSync(descriptorSet);
  } catch (error) {
    throw new LatheError(
      "FAILED_PRECONDITION",
      `the contract's descriptors cannot be read (${(error as Error).message}); "npm run generate" writes them`,
      { reason: "DESCRIPTORS_MISSING", cause: error },
    );
  }
}
