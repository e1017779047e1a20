import { readdirSync } from "node:fs";
import { join } from "node:path";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import { packageRoot } from "../process/root";

let loaded: PackageDefinition | undefined;

/** The definitions of all services in proto/, as reflection serves them. */
export function protoDefinitions(): PackageDefinition {
  if (loaded) return loaded;
  const root = join(packageRoot(), "proto");
  const files = ["lathe/v1", "grpc/health/v1"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".proto"))
      .map((name) => `${folder}/${name}`),
  );
  return (loaded = loadSync(files, { includeDirs: [root], keepCase: true }));
}
