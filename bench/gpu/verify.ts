import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { leftOut, report, type Check } from "../../shared/process/checks";
import { onnxRuntimeVersion, type Provider } from "../../shared/engine/engine";
import { computingEnvironment } from "../../shared/engine/native";
import { LatheError } from "../../shared/process/errors";
import { version } from "../../shared/process/root";
import { startWorker } from "../../shared/process/worker";
import { positive } from "../measurement";
import { deviceFacts } from "./device";
import type { Figure, Finding } from "./finding";
import { markdown } from "./table";
import type { GpuJob } from "./worker";

const USAGE = `npm run verify:gpu -- [--provider cuda|tensorrt|cpu] [--only TEXT] [--seconds 480] [--threads 2] [--out DIR]
  --provider  the provider that is compared with the CPU; cpu tries this command on a machine without a GPU
  --only      only the checks whose name contains this
  --seconds   no check begins that is not expected to end within this time
  --out       writes gpu.json and gpu.md there`;

/** A check, and how long it takes on an H100 by estimate, in seconds. */
interface Planned {
  name: string;
  seconds: number;
  job: GpuJob;
}

const NETWORKS = ["paper", "erfnet"] as const;
const INPUTS: readonly [number, number][] = [
  [512, 1024],
  [1024, 2048],
];

/** The checks in order of what they are worth. */
function plan(provider: Provider, threads: number): Planned[] {
  const setting = { provider, threads };
  const precisions = provider === "cpu" ? (["float32"] as const) : (["float32", "float16", "bfloat16"] as const);
  const tiny = { preset: "tiny" };
  const camvid = {
    ...{ preset: "small", dataset: { kind: "streets", trainExamples: 367, validationExamples: 101 } },
    ...{ training: { epochs: 6, warmupEpochs: 1 }, shrinking: { firstEpoch: 2 }, retraining: { epochs: 6 } },
  };
  return [
    { name: "operators", seconds: 30, job: { name: "operators", setting } },
    ...precisions.map((precision): Planned => ({
      ...{ name: `step S against the CPU, ${precision}`, seconds: 15 },
      job: { name: "agreement", setting: { ...setting, precision } },
    })),
    ...(["S", "L"] as const).flatMap((size) =>
      precisions.map((precision): Planned => ({
        ...{ name: `step ${size}, ${precision}`, seconds: 15 },
        job: { name: "stepTimes", setting: { ...setting, precision, size, pairs: 20 } },
      })),
    ),
    // Its memory exceeds that of most machines without a GPU.
    ...(provider === "cpu" ? [] : precisions).map((precision): Planned => ({
      ...{ name: `step of preset paper, ${precision}`, seconds: 40 },
      job: { name: "stepTimes", setting: { ...setting, precision, size: "paper", pairs: 5 } },
    })),
    ...NETWORKS.flatMap((network) =>
      INPUTS.map((input): Planned => ({
        ...{ name: `latency of ${network} at ${input.join("x")}`, seconds: 15 },
        job: { name: "latencies", setting: { ...setting, network, input } },
      })),
    ),
    {
      ...{ name: "quickstart, twice", seconds: 90 },
      job: { name: "searchTwice", setting: { ...setting, name: "quickstart", spec: tiny } },
    },
    {
      ...{ name: "search of CamVid's shape, twice", seconds: 90 },
      job: { name: "searchTwice", setting: { ...setting, name: "CamVid's shape", spec: camvid } },
    },
  ];
}

/** Checks and measures what only a GPU can show. Each check runs in a process of its own. Exit code 1 if one fails. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      provider: { type: "string", default: "cuda" },
      only: { type: "string", default: "" },
      seconds: { type: "string", default: "480" },
      threads: { type: "string", default: "2" },
      out: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return console.log(USAGE);
  const provider = (["cuda", "tensorrt", "cpu"] as const).find((each) => each === values.provider);
  if (!provider)
    throw new LatheError("INVALID_ARGUMENT", `--provider is "${values.provider}", must be cuda, tensorrt or cpu`);
  const threads = positive(values.threads, "--threads");
  const ends = performance.now() + positive(values.seconds, "--seconds") * 1000;

  const worker = startWorker<GpuJob, never, Finding, void>({
    dir: __dirname,
    name: "worker",
    env: computingEnvironment(),
  });
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
  const planned = plan(provider, threads).filter(({ name }) => name.includes(values.only));
  const checks = planned.map(({ name, seconds, job }): Check => ({
    name,
    run: async () => {
      if (missing !== undefined) return leftOut(`needs provider ${provider}`);
      const left = (ends - performance.now()) / 1000;
      if (left < seconds)
        return leftOut(`${Math.max(0, Math.floor(left))} s are left of --seconds, it takes about ${seconds}`);
      const found = await worker.run(job);
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
  console.error(`verify: ${LatheError.from(error).message}\n${USAGE}`);
  process.exitCode = 2;
});
