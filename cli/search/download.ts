import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { SearchApi } from "./follow";

/** File name of an artifact in a result folder: its kind, with an ending where it has none; undefined for what only a trainer can use. */
export function fileName({ kind, mediaType }: ArtifactRef): string | undefined {
  // Our own result.json holds more than the artifact; checkpoints are large and of no use outside.
  if (kind === "checkpoint" || kind === "result" || kind === "result.json") return undefined;
  // A kind is a path below the folder, whatever a server says.
  const safe = kind.split("/").filter((part) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(part));
  if (safe.length === 0 || safe.length !== kind.split("/").length)
    throw new LatheError("INTERNAL", `artifact kind "${kind}" is no file name`, { reason: "ARTIFACT_KIND_INVALID" });
  const name = safe.join("/");
  return mediaType === "application/json" && !name.endsWith(".json") ? `${name}.json` : name;
}

/** Downloads one artifact; its size and SHA-256 must be those of its reference. The file is there whole or not at all. */
async function downloadArtifact(
  api: Pick<SearchApi, "downloadArtifact">,
  searchId: string,
  { object, kind, sizeBytes, sha256 }: ArtifactRef,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.part`;
  const hash = createHash("sha256");
  let size = 0;
  try {
    const file = await open(part, "w");
    try {
      for await (const { chunk } of api.downloadArtifact({ searchId, object }, signal ? { signal } : {})) {
        hash.update(chunk);
        size += chunk.length;
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
    const digest = hash.digest("hex");
    if (size !== sizeBytes || digest !== sha256)
      throw new LatheError(
        "INTERNAL",
        `artifact ${kind} of ${searchId} came as ${size} bytes with SHA-256 ${digest}, must be ${sizeBytes} bytes with ${sha256}`,
        { reason: "ARTIFACT_CORRUPT" },
      );
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new LatheError("RESOURCE_EXHAUSTED", `${path} cannot be written: the disk is full; free some space`, {
        reason: "DISK_FULL",
        cause: error,
      });
    throw error;
  }
}

/** Downloads what a result folder keeps of a search's artifacts, the newest of each name; gives the file names, sorted. */
export async function downloadArtifacts(
  api: Pick<SearchApi, "downloadArtifact">,
  searchId: string,
  artifacts: readonly ArtifactRef[],
  folder: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const wanted = new Map<string, ArtifactRef>();
  for (const artifact of artifacts) {
    const name = fileName(artifact);
    if (name !== undefined) wanted.set(name, artifact);
  }
  for (const [name, artifact] of wanted) await downloadArtifact(api, searchId, artifact, join(folder, name), signal);
  return [...wanted.keys()].sort();
}
