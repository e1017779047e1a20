import { existsSync, lstatSync } from "node:fs";
import { join, relative } from "node:path";
import { filesBelow, loadedFiles, packageFolders, requiredBy } from "./packages";

/** A file and its path in the pack. */
export interface Packed {
  from: string;
  to: string;
}

const PROVIDER = "native/cuda/libonnxruntime_providers_cuda.so";
/** The compiled folders that verify:gpu runs: its own checks, and the command and services of its searches. */
const COMPILED = ["bench", "cli", "services", "shared"];
/** Files that are read beside dist; `libonnxruntime.so.1` is a link into node_modules. */
const BESIDE = [
  "package.json",
  "native/cuda/libonnxruntime.so.1",
  "native/cuda/libonnxruntime_providers_shared.so",
] as const;
/** The addon that gives the provider its options; cuda:install leaves it out where it finds no C compiler. */
const ADDON = "native/cuda/lathe.node";
const FOLDERS = [
  ["bench/pytorch", ".py"],
  ["docs/examples/networks", ".json"],
] as const;

/** The path of the CUDA provider in a repository. */
export const providerPath = (root: string): string => join(root, PROVIDER);

/**
 * The files that verify:gpu loads and a machine with a GPU lacks, at the paths of a repository, so that Lathe finds them there. The provider,
 * Node and nats-server may lie anywhere.
 */
export function contents(
  root: string,
  { provider, node, nats }: Record<"provider" | "node" | "nats", string>,
): Packed[] {
  const compiled = COMPILED.flatMap((folder) => filesBelow(join(root, "dist", folder)));
  const folders = packageFolders(root, requiredBy(compiled.filter((path) => path.endsWith(".js"))));
  const inside = [
    ...compiled,
    ...folders.flatMap(loadedFiles),
    ...FOLDERS.flatMap(([folder, end]) => filesBelow(join(root, folder)).filter((path) => path.endsWith(end))),
    ...BESIDE.map((path) => join(root, path)),
    ...[join(root, ADDON)].filter((path) => existsSync(path)),
  ];
  return [
    { from: node, to: "bin/node" },
    { from: nats, to: "bin/nats-server" },
    { from: provider, to: PROVIDER },
    ...inside.map((from) => ({ from, to: relative(root, from) })),
  ];
}

/** The bytes of files once they are unpacked, without what a file system adds. */
export const unpackedBytes = (files: readonly Packed[]): number =>
  files.reduce((sum, { from }) => sum + lstatSync(from).size, 0);
