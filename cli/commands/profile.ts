import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { availableCores, threadsFault } from "../../services/latency/cpu";
import { summarise } from "../../services/latency/figures";
import { startProfiler } from "../../services/latency/profiler";
import { trainingProcess } from "../../services/supernet/training/jobs";
import type { MemoryEstimate } from "../../services/supernet/training/memory";
import { machineBytes } from "../../shared/process/memory";
import { LatheError } from "../../shared/process/errors";
import { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { macsTable } from "../../shared/space/cost";
import { NUMBERS, numberFault } from "../../shared/spec/bounds";
import { complain, print, printJson } from "../exit";
import { configuredEngine } from "../configuredEngine";
import { onInterrupt } from "../interrupt";
import { readModel } from "../model/flags";
import { describedSpec, type RequestedSpec, type SpecFlags } from "../spec/specFlags";
import { latencyLines, memoryLines, profileLines } from "../view/profile";
import { size, specOptions, whole, wholes } from "./options";

interface ProfileFlags extends SpecFlags {
  threads: number;
  warmUp: number;
  steps: number;
  json?: boolean;
}

/** `lathe profile ...`: needs no stack and no data. */
export function profileCommand(program: Command): void {
  const profile = program
    .command("profile")
    .description("measure the time of training steps and of networks, and estimate the memory of training");
  specOptions(profile.command("step"))
    .description("measure a training step of the whole supernet: time per operator family and per part of the network")
    .option("--threads <number>", "CPU threads per step", whole, availableParallelism())
    .option("--warm-up <number>", "steps to run before measuring", whole, 5)
    .option("--steps <number>", "steps to measure, once without the profiler and once with it", whole, 10)
    .option("--json", "print JSON")
    .action((flags: ProfileFlags) => profileStep(flags));
  profile
    .command("network <model>")
    .description("measure the latency of an ONNX model of any origin on this machine's CPU")
    .option("--input <HxW>", "height and width of the image, where the model leaves them free", size)
    .option("--threads <number>", "CPU threads of a run", whole, 1)
    .option(
      "--batch <numbers>",
      "images of a run; several, separated by commas, are measured one after the other",
      wholes,
      [1],
    )
    .option("--warm-up <number>", "most runs before the measurement", whole, NUMBERS.profiling.warmupRuns.small)
    .option("--runs <number>", "most runs to measure", whole, NUMBERS.profiling.timedRuns.small)
    .option("--json", "print JSON")
    .action((model: string, flags: ModelFlags) => profileNetwork(model, flags));
  specOptions(profile.command("memory"))
    .description("estimate the memory that training the whole supernet needs")
    .option("--json", "print JSON")
    .action(async ({ json, ...flags }: SpecFlags & { json?: boolean }) => {
      const { resolved, space } = describedSpec(flags);
      const estimate = await trainingMemory({ resolved, space });
      if (json) printJson(estimate);
      else print(...memoryLines(resolved.preset, estimate, machineBytes()));
    });
}

/** As ProfileNetworkRequest.batch_sizes. */
const [MOST_BATCHES, MOST_IMAGES] = [8, 64];

interface ModelFlags {
  input?: [number, number];
  batch: number[];
  threads: number;
  warmUp: number;
  runs: number;
  json?: boolean;
}

async function profileNetwork(file: string, { input, batch, threads, warmUp, runs, json }: ModelFlags): Promise<void> {
  const asked = { threads, warmupRuns: warmUp, timedRuns: runs };
  for (const [flag, name] of [
    ["--threads", "threads"],
    ["--warm-up", "warmupRuns"],
    ["--runs", "timedRuns"],
  ] as const) {
    const fault =
      numberFault(asked[name], NUMBERS.profiling[name]) ??
      (name === "threads" ? threadsFault(threads, availableCores()) : undefined);
    if (fault !== undefined) throw new LatheError("INVALID_ARGUMENT", `${flag} ${fault}`);
  }
  if (batch.length > MOST_BATCHES || batch.some((images) => images < 1 || images > MOST_IMAGES))
    throw new LatheError(
      "INVALID_ARGUMENT",
      `--batch is ${batch.join(",")}, must be at most ${MOST_BATCHES} numbers from 1 to ${MOST_IMAGES}`,
    );
  const model = readModel(file);
  const size = input && { height: input[0], width: input[1] };
  const interrupt = onInterrupt(complain);
  try {
    const subject = { model, size, batchSizes: batch };
    const measured = await startProfiler().network(
      subject,
      { deviceClass: "cpu", provider: "cpu", ...asked },
      interrupt.signal,
    );
    const latencies = measured.map(({ samples, conditions }) => summarise(samples, conditions));
    if (json) printJson(latencies.map((latency) => LatencyFigures.toJSON(latency)));
    else for (const latency of latencies) print(...latencyLines(file, latency));
  } finally {
    interrupt.dispose();
  }
}

/** The estimated memory of the training. It is computed in a process of its own, whose memory is freed at its end. */
export async function trainingMemory(
  { resolved: spec, space }: Pick<RequestedSpec, "resolved" | "space">,
  signal?: AbortSignal,
): Promise<MemoryEstimate> {
  const engine = configuredEngine();
  const job = { spec, space, table: macsTable(space) };
  const outcome = await trainingProcess().run({ engine, kind: "estimate", job }, signal && { signal });
  if (outcome.kind !== "estimate") throw new LatheError("INTERNAL", `an estimate came back as ${outcome.kind}`);
  return outcome.estimate;
}

async function profileStep({ threads, warmUp, steps, json, ...flags }: ProfileFlags): Promise<void> {
  const { resolved: spec, space } = describedSpec(flags);
  bounded("--threads", threads, 1, 256);
  bounded("--warm-up", warmUp, 1, 1000);
  // ONNX Runtime's profile ends at a million events, about 10,000 a step.
  bounded("--steps", steps, 1, 50);
  const interrupt = onInterrupt(complain);
  try {
    const outcome = await trainingProcess().run(
      {
        engine: { engine: "onnxruntime", provider: "cpu", threads },
        kind: "profile",
        job: { spec, space, table: macsTable(space), warmUp, runs: steps },
      },
      { signal: interrupt.signal },
    );
    if (outcome.kind !== "profile") throw new LatheError("INTERNAL", `a profile came back as ${outcome.kind}`);
    if (json) printJson(outcome.report);
    else print(...profileLines(spec.preset, space, outcome.report));
  } finally {
    interrupt.dispose();
  }
}

function bounded(flag: string, value: number, least: number, most: number): void {
  if (value < least || value > most)
    throw new LatheError("INVALID_ARGUMENT", `${flag} is ${value}, must be between ${least} and ${most}`);
}
