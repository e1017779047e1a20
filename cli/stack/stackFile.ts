import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { userFolder } from "../spec/specFlags";
import type { Addresses } from "./stack";

/** The content of run/stack.json of a running stack. */
interface StackFile {
  pid: number;
  /** URL of its NATS. */
  nats: string;
  services: Addresses;
}

/** The addresses of the running stack of a state folder. FAILED_PRECONDITION if none runs; the message offers the option `instead`. */
export function readStackFile(state: string, instead: string): StackFile {
  const file = join(resolve(userFolder(), state), "run", "stack.json");
  try {
    return JSON.parse(readFileSync(file, "utf8")) as StackFile;
  } catch (error) {
    throw new LatheError(
      "FAILED_PRECONDITION",
      `no stack is running here (${file} does not exist): start one with "lathe up", or give ${instead}`,
      { reason: "NO_STACK", cause: error },
    );
  }
}
