import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { stackOwner } from "../stack/state";

/**
 * The request that started the search of a run. Its file exists from before the search starts until the run needs its store no longer, so
 * a folder that holds it is that of an interrupted or failed run. The same request again names the same search.
 */
export interface RunRequest {
  requestId: string;
  spec: SearchSpec;
}

const requestFile = (folder: string) => join(folder, "request.json");

export function keepRequest(folder: string, { requestId, spec }: RunRequest): void {
  const content = { requestId, spec: SearchSpec.toJSON(spec) };
  writeFileSync(requestFile(folder), `${JSON.stringify(content, null, 2)}\n`);
}

export function dropRequest(folder: string): void {
  rmSync(requestFile(folder), { force: true });
}

/** Whether a folder is that of an interrupted or failed run, which `lathe run --resume` can continue. */
export function isUnfinished(folder: string): boolean {
  return existsSync(requestFile(folder)) && existsSync(join(folder, "nats")) && !stackOwner(folder);
}

/** The request of an unfinished run; INVALID_ARGUMENT where the folder is none. */
export function readRequest(folder: string): RunRequest {
  const refuse = (why: string, cause?: unknown) =>
    new LatheError("INVALID_ARGUMENT", `--resume ${folder}: ${why}`, { reason: "NOTHING_TO_RESUME", cause });
  const owner = stackOwner(folder);
  if (owner) throw refuse(`a stack is running in it (pid ${owner.pid}); it must have ended`);
  if (!isUnfinished(folder)) throw refuse("this is not the folder of an interrupted or failed run");
  try {
    const { requestId, spec } = JSON.parse(readFileSync(requestFile(folder), "utf8")) as Record<string, unknown>;
    if (typeof requestId !== "string" || requestId === "") throw new Error("requestId is not set");
    return { requestId, spec: SearchSpec.fromJSON(spec) };
  } catch (error) {
    throw refuse(`${requestFile(folder)} cannot be read: ${(error as Error).message}`, error);
  }
}
