import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { SearchApi } from "./follow";

/** The file name of an artifact: its kind, with .json added for JSON. Undefined for artifacts that only a trainer can use. */
function fileName({ kind, mediaType }: ArtifactRef): string | undefined {
  // The command writes its own, larger result.json; checkpoints are large and useless outside a trainer.
  if (kind === "checkpoint" || kind === "result" || kind === "result.json") return undefined;
  // A server must not be able to write outside the folder.
  const safe = kind.split("/").filter((part) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(part));
  if (safe.length === 0 || safe.length !== kind.split("/").length)
    throw new LatheError("INTERNAL", `artifact kind "${kind}" is not a file name`, { reason: "ARTIFACT_KIND_INVALID" });
  const name = safe.join("/");
  return mediaType === "application/json" && !name.endsWith(".json") ? `${name}.json` : name;
}

/** Downloads one artifact and checks its size and SHA-256. The file appears only when it is complete. */
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
        `artifact ${kind} of ${searchId} arrived with ${size} bytes and SHA-256 ${digest}, must have ${sizeBytes} bytes and SHA-256 ${sha256}`,
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

/** Downloads the artifacts of a result folder, the newest of each name; returns the sorted file names. */
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
