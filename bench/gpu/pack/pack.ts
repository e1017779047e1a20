import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer } from "../../../cli/stack/nats";
import { INSTALL } from "../../../shared/engine/native";
import { LatheError } from "../../../shared/process/errors";
import { packageRoot, version } from "../../../shared/process/root";
import { contents, providerPath, unpackedBytes, type Packed } from "./contents";
import { keepArchitecture } from "./fatbin";

/** A file of a pack must not exceed it. */
const LARGEST_PART = 60 * 2 ** 20;
const SCRIPT = "verify-gpu.py";
const MANIFEST = "verify-gpu.json";
const MIB = 2 ** 20;

/** Where the parts of a pack come from; tests replace it. */
interface Source {
  root: string;
  node: string;
  nats: string | undefined;
}

const thisMachine = (): Source => ({ root: packageRoot(), node: process.execPath, nats: findNatsServer() });

/**
 * Writes what verify:gpu needs on a machine with a GPU, Python and NVIDIA's libraries, but without Node and network, into an empty or new
 * folder: parts of at most 60 MiB and a script that unpacks and runs it. The CUDA provider gets the code of one GPU architecture only.
 * FAILED_PRECONDITION names each thing that is missing here, before work is done.
 */
export async function pack(
  folder: string,
  architecture: number,
  say: (line: string) => void,
  { root, node, nats }: Source = thisMachine(),
): Promise<void> {
  const faults = [
    ...(existsSync(providerPath(root))
      ? []
      : [`the CUDA provider is not installed: ${INSTALL.cuda} -- --provider-only`]),
    ...(nats === undefined ? ["nats-server, which searches need, is not on PATH: apt-get install nats-server"] : []),
    // Debian's package is such a Node.
    ...((process.config.variables as { node_shared?: boolean }).node_shared
      ? [`${node} has its code in libnode: take a Node of nodejs.org`]
      : []),
    ...(existsSync(folder) && readdirSync(folder).length > 0 ? [`--pack ${folder} is not empty`] : []),
  ];
  if (nats === undefined || faults.length > 0) throw new LatheError("FAILED_PRECONDITION", faults.join("\n"));
  const scratch = mkdtempSync(join(tmpdir(), "lathe-pack-"));
  try {
    const provider = join(scratch, "provider.so");
    const library = readFileSync(providerPath(root));
    const { kept, zeroed } = keepArchitecture(library, architecture);
    writeFileSync(provider, library);
    const mebibytes = (bytes: number) => (bytes / MIB).toFixed(1);
    say(
      `GPU code of architecture ${architecture}: ${mebibytes(kept)} MiB kept, ${mebibytes(zeroed)} MiB of others left out`,
    );
    mkdirSync(folder, { recursive: true });
    const files = contents(root, { provider, node, nats: realpathSync(nats) });
    const bytes = unpackedBytes(files);
    say(`packs ${files.length} files of ${mebibytes(bytes)} MiB; this takes some minutes`);
    const parts = split(await archived(root, files), LARGEST_PART).map((part, at) => {
      const name = `verify-gpu.part${at + 1}`;
      writeFileSync(join(folder, name), part);
      return { name, bytes: part.length, sha256: createHash("sha256").update(part).digest("hex") };
    });
    const pack = { lathe: version(), node: process.version, architecture, unpackedBytes: bytes, parts };
    writeFileSync(join(folder, MANIFEST), JSON.stringify(pack, null, 2));
    copyFileSync(join(root, "bench", "gpu", "pack", SCRIPT), join(folder, SCRIPT));
    say(["", "| file | MiB | sha256 |", "| --- | --- | --- |"].join("\n"));
    for (const { name, bytes: size, sha256 } of parts) say(`| ${name} | ${mebibytes(size)} | ${sha256} |`);
    for (const name of [MANIFEST, SCRIPT]) say(`| ${name} | 0.0 | |`);
    say(`\nCopy these files into one folder of the other machine and run there: python3 ${SCRIPT} --out results`);
    say("It unpacks once, takes NVIDIA's libraries from that python3, and passes its arguments on to verify:gpu.");
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** The files as a tar, packed by xz. Node cannot write xz; the python3 that has fetched the provider can. */
async function archived(root: string, files: readonly Packed[]): Promise<Buffer> {
  const child = spawn("python3", ["-B", join(root, "bench", "gpu", "pack", "archive.py")]);
  const chunks: Buffer[] = [];
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (text: Buffer) => (said = (said + text.toString()).slice(-1000)));
  // The process has ended; its exit is reported instead.
  child.stdin.on("error", () => {});
  child.stdin.end(files.map((file) => `${JSON.stringify(file)}\n`).join(""));
  const [code] = (await once(child, "close")) as [number | null];
  if (code === 0) return Buffer.concat(chunks);
  throw new LatheError("FAILED_PRECONDITION", `python3 could not pack the files (${code}): ${said.trim()}`);
}

/** As few parts as possible, of equal sizes up to a byte for each. */
export function split(bytes: Buffer, largest: number): Buffer[] {
  const count = Math.ceil(bytes.length / largest);
  const cut = (part: number) => Math.floor((part * bytes.length) / count);
  return Array.from({ length: count }, (_, part) => bytes.subarray(cut(part), cut(part + 1)));
}
