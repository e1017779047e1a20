import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { until } from "../shared/testing/until";
import { compiled } from "./compiled";

/** A `lathe` command that runs. */
export type Command = ReturnType<typeof startCommand>;

/** Starts `lathe <args>` in a folder, with settings in its environment. */
export function startCommand(folder: string, args: readonly string[], settings: Record<string, string> = {}) {
  const { LATHE_ADDRESS: _, ...env } = process.env;
  const child = spawn(process.execPath, [join(compiled(), "cli", "lathe.js"), ...args], {
    env: { ...env, INIT_CWD: folder, ...settings },
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (text: Buffer) => (said.stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (said.stderr += text.toString()));
  const ended = once(child, "close").then(([code]) => code as number | null);
  /** Waits for a state that the command brings about; fails where the command ends before. */
  const before = (look: () => boolean) =>
    until(() => {
      if (child.exitCode !== null) throw new Error(said.stderr);
      return look();
    });
  return { child, said, ended, before };
}
