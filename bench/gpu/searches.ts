import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { packageRoot } from "../../shared/process/root";
import { finding, type Figure, type Finding, type Setting } from "./finding";

interface Ended {
  seconds: number;
  sha256: string;
  miou: number;
}

/** Runs a search twice on the device, each in a stack of its own, and compares the bytes of the two networks. */
export async function searchTwice({
  provider,
  threads,
  name,
  spec,
}: Setting & { name: string; spec: object }): Promise<Finding> {
  const runs = [await searched(provider, threads, spec), await searched(provider, threads, spec)];
  const figures: Figure[] = runs.flatMap(({ seconds, miou }, at) => [
    { name: `${name}, run ${at + 1}`, value: seconds, unit: "s" },
    { name: `${name}, run ${at + 1}: mIoU of the network`, value: miou * 100, unit: "%" },
  ]);
  const [first, second] = runs.map(({ sha256 }) => sha256.slice(0, 16));
  return finding(figures, first === second ? `equal bits, ${first}` : `different bits, ${first} and ${second}`);
}

async function searched(provider: string, threads: number, spec: object): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "lathe-verify-"));
  try {
    writeFileSync(join(folder, "spec.yaml"), JSON.stringify(spec));
    const started = performance.now();
    const child = spawn(
      process.execPath,
      [join(packageRoot(), "dist", "cli", "lathe.js"), "run", "-f", "spec.yaml", "--out", "out"],
      {
        env: { ...process.env, INIT_CWD: folder, LATHE_PROVIDER: provider, LATHE_THREADS: String(threads) },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let said = "";
    child.stderr.on("data", (text: Buffer) => (said = (said + text.toString()).slice(-1000)));
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0) throw new LatheError("FAILED_PRECONDITION", `lathe run ended with ${code}: ${said.trim()}`);
    const out = join(folder, "out");
    const result = JSON.parse(readFileSync(join(out, "result.json"), "utf8")) as { retrainedMiou: number };
    return {
      seconds: (performance.now() - started) / 1000,
      sha256: createHash("sha256")
        .update(readFileSync(join(out, "network.weights")))
        .digest("hex"),
      miou: result.retrainedMiou,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
