import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createFileRegistry, fromBinary, type DescMessage, type FileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, type FileDescriptorSet } from "@bufbuild/protobuf/wkt";
import { LatheError } from "./errors";

/** The descriptors of every file in proto/ and of what these files import. `npm run generate` writes them; the build copies them to dist/. */
export function contract(): FileDescriptorSet {
  try {
    return fromBinary(FileDescriptorSetSchema, readFileSync(join(__dirname, "..", "proto", "descriptors.binpb")));
  } catch (error) {
    throw new LatheError(
      "FAILED_PRECONDITION",
      `the contract's descriptors cannot be read (${(error as Error).message}); "npm run generate" writes them`,
      { reason: "DESCRIPTORS_MISSING", cause: error },
    );
  }
}

let registry: FileRegistry | undefined;

/** The descriptors by name. */
export function descriptors(): FileRegistry {
  return (registry ??= createFileRegistry(contract()));
}

/** The descriptor of a message of package lathe.v1. */
export function messageType(name: "SearchSpec" | "Genotype"): DescMessage {
  return descriptors().getMessage(`lathe.v1.${name}`)!;
}
