import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { leftOut, report, type Check } from "../../shared/process/checks";
import { onnxRuntimeVersion } from "../../shared/engine/engine";
import { computingEnvironment } from "../../shared/engine/native";
import { LatheError } from "../../shared/process/errors";
import { version } from "../../shared/process/root";
import { startWorker } from "../../shared/process/worker";
import { positive } from "../measurement";
import { deviceFacts } from "./device";
import type { Figure, Finding } from "./finding";
import { pack } from "./pack/pack";
import { plan } from "./plan";
import { markdown } from "./table";
import type { GpuJob } from "./worker";

const USAGE = `npm run verify:gpu -- [--provider cuda|tensorrt|cpu] [--only TEXT] [--seconds 480] [--threads 2] [--out DIR]
  --provider  the provider that is compared with the CPU; cpu tries this command on a machine without a GPU
  --only      only the checks whose name contains this
  --seconds   no check begins that is not expected to end within this time
  --out       writes gpu.json and gpu.md there
npm run verify:gpu -- --pack DIR [--architecture 90]
  --pack      writes what a machine with a GPU but without Node and network needs to run this command
  --architecture  the GPUs that the pack is for: compute capability times 10`;

/** Checks and measures what only a GPU can show. Each check runs in a process of its own. Exit code 1 if one fails. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      provider: { type: "string", default: "cuda" },
      only: { type: "string", default: "" },
      seconds: { type: "string", default: "480" },
      threads: { type: "string", default: "2" },
      out: { type: "string" },
      pack: { type: "string" },
      architecture: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return console.log(USAGE);
  if (values.pack !== undefined)
    return pack(values.pack, positive(values.architecture ?? "90", "--architecture"), console.log);
  if (values.architecture !== undefined)
    throw new LatheError("INVALID_ARGUMENT", "--architecture is for --pack, which is not given");
  const provider = (["cuda", "tensorrt", "cpu"] as const).find((each) => each === values.provider);
  if (!provider)
    throw new LatheError("INVALID_ARGUMENT", `--provider is "${values.provider}", must be cuda, tensorrt or cpu`);
  const threads = positive(values.threads, "--threads");
  const endsAt = Date.now() + positive(values.seconds, "--seconds") * 1000;

  const workerIn = (env: Record<string, string>) =>
    startWorker<GpuJob, never, Finding, void>({ dir: __dirname, name: "worker", env });
  const worker = workerIn(computingEnvironment());
  // PyTorch loads the libraries that it was installed with, not those of native/cuda.
  const plain = workerIn({});
  const figures: Figure[] = [];
  let missing: string | undefined;
  const first: Check = {
    name: `provider ${provider}`,
    run: async () => {
      try {
        return await worker.run({ name: "provider", setting: { provider, threads } });
      } catch (error) {
        missing = LatheError.from(error).message;
        return leftOut(missing);
      }
    },
  };
  const planned = plan(provider, threads, endsAt).filter(({ name }) => name.includes(values.only));
  const checks = planned.map(({ name, seconds, job }): Check => ({
    name,
    run: async () => {
      if (missing !== undefined) return leftOut(`needs provider ${provider}`);
      const left = (endsAt - Date.now()) / 1000;
      if (left < seconds)
        return leftOut(`${Math.max(0, Math.floor(left))} s are left of --seconds, it takes about ${seconds}`);
      const found = await (job.name === "pytorchSteps" ? plain : worker).run(job);
      figures.push(...found.figures);
      return found;
    },
  }));
  const facts = {
    ...deviceFacts(),
    provider,
    lathe: version(),
    onnxruntime: onnxRuntimeVersion(),
    node: process.version,
  };
  const passed = await report([first, ...checks], console.log);
  const text = markdown(facts, figures);
  console.log(`\n${text}`);
  if (values.out !== undefined) {
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, "gpu.json"), JSON.stringify({ facts, figures }, null, 2));
    writeFileSync(join(values.out, "gpu.md"), text);
  }
  process.exitCode = passed ? 0 : 1;
}

main().catch((error: unknown) => {
  const { code, message } = LatheError.from(error);
  console.error(`verify: ${message}${code === "INVALID_ARGUMENT" ? `\n${USAGE}` : ""}`);
  process.exitCode = 2;
});
