import { spawnSync } from "node:child_process";

/** What a program of PATH says, with its exit code. */
export interface Said {
  status: number | null;
  text: string;
}

function isOnPath(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** `it` where a program is on PATH; elsewhere a test that is skipped and whose name says why. Debian's package prometheus has both. */
export function itWith(program: "promtool" | "prometheus"): jest.It | jest.It["skip"] {
  if (isOnPath(program)) return it;
  const skip = (name: string) => it.skip(`${name} (left out: ${program} is not on PATH)`, () => {});
  return Object.assign(skip, it.skip);
}

/** Runs promtool to its end. */
export function promtool(args: readonly string[], input = ""): Said {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { status, text: stdout + stderr };
}
