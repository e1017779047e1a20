import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-node";
import { LatheError } from "../process/errors";
import { familyOf, type Family } from "./family";
import type { Graph } from "./graph";
import type { Origin } from "./scope";
import { compileOnnx, type Profiling, type SessionOptions } from "./session";
import type { Step } from "./signature";

/** Nodes of one operator and family in one part of the network. */
export interface NodeTimes {
  /** Part of the network; "other" if unknown, for example for nodes that ONNX Runtime added. */
  part: string;
  family: Family;
  op: string;
  nodes: number;
  /** Sum over the nodes of each node's median time over the runs, less the profiler's own time. */
  seconds: number;
}

interface StepProfile {
  runs: number;
  /** Median time of a run with the profiler. */
  runSeconds: number;
  times: NodeTimes[];
}

/** The fields that we read of an event in ONNX Runtime's profile; times in microseconds. */
export interface ProfileEvent {
  cat: string;
  name: string;
  ts: number;
  dur: number;
  args?: { op_name?: string };
}

/** Collects the sessions of an engine that profiles (EngineOptions.profiling), and reads their profiles. */
export class Profiles implements Profiling {
  private readonly sessions = new Map<string, { graph: Graph; session: InferenceSession }>();

  /** folder must be empty; the caller removes it. */
  constructor(readonly folder: string) {}

  opened(name: string, graph: Graph, session: InferenceSession): void {
    this.sessions.set(name, { graph, session });
  }

  /** Ends the profile of a step and reads it; call once, before the step is released. */
  read(name: string, warmUp: number, overheadSeconds = 0): StepProfile {
    const opened = this.sessions.get(name);
    if (!opened) throw new LatheError("INTERNAL", `no step "${name}" among ${[...this.sessions.keys()].join(", ")}`);
    opened.session.endProfiling();
    const file = readdirSync(this.folder).find((entry) => entry.startsWith(`${name}_`));
    if (!file) throw new LatheError("INTERNAL", `ONNX Runtime wrote no profile of step "${name}"`);
    const events = JSON.parse(readFileSync(join(this.folder, file), "utf8")) as ProfileEvent[];
    return summarise(events, opened.graph, warmUp, overheadSeconds);
  }
}

/** Time by node of the runs after the first `warmUp`. */
export function summarise(events: ProfileEvent[], graph: Graph, warmUp: number, overheadSeconds: number): StepProfile {
  const runs = events.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
  const counted = runs.slice(warmUp);
  if (counted.length === 0)
    throw new LatheError("INVALID_ARGUMENT", `the profile holds ${runs.length} runs, must hold more than ${warmUp}`);
  const during = (event: ProfileEvent) => counted.some(({ ts, dur }) => event.ts >= ts && event.ts <= ts + dur);
  const origins = new Map(graph.nodes.map((node) => [node.name, node.origin]));
  const nodes = new Map<string, { op: string; microseconds: number[] }>();
  for (const event of events) {
    const name = /^(.*)_kernel_time$/.exec(event.name)?.[1];
    if (event.cat !== "Node" || name === undefined || !during(event)) continue;
    const op = event.args?.op_name ?? "";
    const node = nodes.get(name) ?? { op, microseconds: [] };
    node.microseconds.push(event.dur);
    nodes.set(name, node);
  }
  const times = new Map<string, NodeTimes>();
  for (const [name, { op, microseconds }] of nodes) {
    const origin = originOf(name, origins);
    const [part, family] = [origin?.part || "other", familyOf(op, origin)];
    const key = JSON.stringify([part, family, op]);
    const entry = times.get(key) ?? { part, family, op, nodes: 0, seconds: 0 };
    times.set(key, {
      ...entry,
      nodes: entry.nodes + 1,
      seconds: entry.seconds + Math.max(0, median(microseconds) / 1e6 - overheadSeconds),
    });
  }
  return { runs: counted.length, runSeconds: median(counted.map(({ dur }) => dur)) / 1e6, times: [...times.values()] };
}

/** The name of a fused node begins with the name of one of its nodes: "stage1/block1/MatMul_56/MatmulTransposeFusion/", "Conv_7_nchwc". */
function originOf(name: string, origins: ReadonlyMap<string, Origin | undefined>): Origin | undefined {
  const ends = [...name.matchAll(/_\d+/g)].map(({ index, 0: number }) => index + number.length);
  const known = ends.findLast((end) => origins.has(name.slice(0, end)));
  return known === undefined ? undefined : origins.get(name.slice(0, known));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

const LINKS = 300;
const RUNS = 20;

/** A chain of products of 16 numbers, whose computation takes almost no time. */
const chain: Step = ({ x, y }) => {
  if (!x || !y) throw new Error("no inputs");
  let z = x;
  for (let link = 0; link < LINKS; link++) z = z.mul(y);
  return { z };
};

/** Time that the profiler adds to a node on this machine: the time of a tiny node with the profiler, less its time without. */
export async function measureOverhead(options: SessionOptions, folder: string): Promise<number> {
  const vector = { shape: [16], dtype: "float32" as const };
  const inputs = { x: new Float32Array(16).fill(1), y: new Float32Array(16).fill(1) };
  const profiles = new Profiles(folder);
  const timed = async (profiling?: Profiling) => {
    const step = await compileOnnx(chain, { x: vector, y: vector }, "chain", {
      ...options,
      ...(profiling && { profiling }),
    });
    try {
      const seconds: number[] = [];
      for (let run = 0; run < RUNS; run++) {
        const started = performance.now();
        await step.run(inputs);
        seconds.push((performance.now() - started) / 1000);
      }
      if (!profiling) return median(seconds) / LINKS;
      const { times } = profiles.read("chain", RUNS >> 1);
      return times.reduce((sum, each) => sum + each.seconds, 0) / LINKS;
    } finally {
      await step.release();
    }
  };
  const without = await timed();
  return Math.max(0, (await timed(profiles)) - without);
}
