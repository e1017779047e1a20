import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { userFolder } from "../userFolder";
import type { Addresses } from "./stack";
import { stackOwner } from "./state";

/** The content of run/stack.json of a running stack. */
interface StackFile {
  pid: number;
  /** URL of its NATS. */
  nats: string;
  services: Addresses;
}

/** The addresses of the running stack of a state folder. FAILED_PRECONDITION if none runs; the message offers the option `instead`. */
export function readStackFile(state: string, instead: string): StackFile {
  const folder = resolve(userFolder(), state);
  const file = join(folder, "run", "stack.json");
  const none = (why: string, cause?: unknown) =>
    new LatheError(
      "FAILED_PRECONDITION",
      `no stack is running here (${why}): start one with "lathe up", or give ${instead}`,
      { reason: "NO_STACK", cause },
    );
  let found: StackFile;
  try {
    found = JSON.parse(readFileSync(file, "utf8")) as StackFile;
  } catch (error) {
    throw none(`${file} does not exist`, error);
  }
  // A stack that was killed leaves the file behind, and other programs may listen on its ports by now.
  if (!stackOwner(folder)) throw none(`${file} is of a stack that has ended`);
  return found;
}
