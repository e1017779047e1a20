import type { Bus } from "../../shared/events/bus";
import { Objects } from "../../shared/events/objects";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { DownloadArtifactResponse, Search } from "../../shared/proto/lathe/v1/search";

/** An artifact of a search in chunks of at most 256 KiB; NOT_FOUND where the search has no such artifact. */
export async function* download(
  bus: Bus,
  search: Search,
  object: string,
  signal: AbortSignal,
): AsyncGenerator<DownloadArtifactResponse, void, undefined> {
  const recorded = search.artifacts.find((artifact) => artifact.object === object);
  if (!recorded) {
    const shown = object.length <= 200 ? object : `${object.slice(0, 200)}...`;
    throw new LatheError("NOT_FOUND", `search ${search.id} has no artifact "${shown}"; ListArtifacts names them`, {
      reason: "ARTIFACT_NOT_FOUND",
    });
  }
  const bucket = await holder(bus, object);
  for await (const { buffer, byteOffset, byteLength } of bucket.chunks(recorded, signal))
    yield { chunk: Buffer.from(buffer, byteOffset, byteLength) };
}

/** The bucket that holds an object. Checkpoints have a bucket of their own, which a reference does not name. */
async function holder(bus: Bus, object: string): Promise<Objects> {
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  return (await artifacts.has(object)) ? artifacts : new Objects(bus, CHECKPOINTS_BUCKET);
}
