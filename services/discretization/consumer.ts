import type { DataAccess } from "../../shared/data/access";
import type { EngineOptions } from "../../shared/engine/engine";
import type { Bus } from "../../shared/events/bus";
import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { derivedNetwork } from "../../shared/events/derivedNetwork";
import { historyOnce, readingNewest } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { recordedData } from "../../shared/events/recordedData";
import { consumeWork, type WorkInHand } from "../../shared/events/searchWork";
import type { Over } from "../../shared/events/standing";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import type { WorkItem } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import { answerBy } from "../../shared/process/port";
import { NetworkKept, TrainingProgressed, type RepairAim } from "../../shared/proto/lathe/v1/events";
import { resolve } from "../../shared/spec/resolve";
import { discretizationProcess, type DeriveJob, type Job, type JobCalls } from "./jobs";
import { newestNetwork } from "./keep";
import type { DerivationMetrics } from "./metrics";

interface DeriverOptions {
  bus: Bus;
  engine: EngineOptions;
  /** The only folders whose data sets may be opened; undefined: any. */
  dataAccess?: DataAccess | undefined;
  metrics: DerivationMetrics;
  /** Silence after which this process counts as dead, in ms. */
  leaseMs?: number;
}

type Kind = "derive" | "keep";

const OVER: Record<Kind, Over> = {
  derive: { "architecture.derived": "the network is derived" },
  keep: { "network.kept": "the network is kept" },
};

function overOf(work: WorkItem<Kind>): Over {
  const repair = "repair" in work.data ? work.data.repair : undefined;
  if (!repair) return OVER[work.kind];
  return { "architecture.repaired": { why: `repair ${repair.number} is done`, from: repair.number } };
}

/**
 * Takes `derive` and `keep` items one at a time. Each network is derived, or taken out of a checkpoint, in a child process; then
 * architecture.derived or network.kept is published.
 */
export function consume({ bus, engine, dataAccess, metrics, leaseMs = 60_000 }: DeriverOptions): Promise<Consumption> {
  const worker = discretizationProcess();
  const checkpoints = new Objects(bus, CHECKPOINTS_BUCKET);
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  const run = (searchId: string, job: Job, signal: AbortSignal) => {
    const onMessage = answerBy<JobCalls>({
      // Only a repair compares anything one by one.
      progress: (step, steps) =>
        publishProgress(bus, searchId, TrainingProgressed.fromPartial({ phase: "derive", step, steps })),
      store: (kind, bytes, mediaType) => artifacts.put(`${searchId}/${kind}`, bytes, { kind, mediaType, signal }),
    });
    return worker.run(job, { signal, onMessage });
  };
  const cutOut = (searchId: string, job: Omit<DeriveJob, "engine" | "dataAccess">, signal: AbortSignal) =>
    metrics.derived(async () => {
      const outcome = await run(searchId, { kind: "derive", job: { engine, dataAccess, ...job } }, signal);
      if (outcome.kind !== "derive") throw new LatheError("INTERNAL", `a derivation came back as ${outcome.kind}`);
      return outcome.event;
    }, signal);

  const derive = async (work: WorkItem<"derive">, { history, signal, held }: WorkInHand) => {
    const { searchId } = work;
    const supernet = await supernetHistory(bus, history, signal);
    const { checkpoint: ref, ...start } = startOf(work, supernet);
    const recorded = recordedData(supernet);
    const read = { checkpoint: await checkpoints.get(ref, signal), ...(recorded && { recorded }) };
    const data = await cutOut(searchId, { ...start, ...read }, signal);
    metrics.gap(data.discretizationGap);
    await publishEvent(bus, searchId, { type: "architecture.derived", data }, { signal: held });
  };

  const repair = async (work: WorkItem<"derive">, aim: RepairAim, { history, signal, held }: WorkInHand) => {
    const { id, searchId } = work;
    const { spec: sent, costTable: table } = work.data;
    const { genotype, weights: ref } = derivedNetwork(history) ?? {};
    if (!sent) throw missing(id, "spec");
    if (!table) throw missing(id, "cost_table");
    if (!genotype || !ref) throw missing(id, "derived network in its search's history");
    const weights = await artifacts.get(ref, signal);
    const job = {
      ...{ engine, dataAccess, ...resolve(sent) },
      ...{ table, aim, genotype, weights, object: ref.object },
    };
    const data = await metrics.derived(async () => {
      const outcome = await run(searchId, { kind: "repair", job }, signal);
      if (outcome.kind !== "repair") throw new LatheError("INTERNAL", `a repair came back as ${outcome.kind}`);
      return outcome.event;
    }, signal);
    await publishEvent(bus, searchId, { type: "architecture.repaired", data }, { signal: held });
  };

  /** Reads what a network is kept from, and returns the rest of the work. */
  const preparedKeep = async (
    { id, searchId, data: { spec: sent, costTable: table } }: WorkItem<"keep">,
    history: readonly StoredEvent[],
    signal: AbortSignal,
  ): Promise<() => Promise<NetworkKept>> => {
    if (!sent) throw missing(id, "spec");
    const { spec } = resolve(sent);
    const found = newestNetwork(spec, history);
    if (found.from === "events") return () => Promise.resolve(found.kept);
    const checkpoint = await checkpoints.get(found.checkpoint, signal);
    if (found.from === "supernet") {
      const { supernet, kept } = found;
      if (!table) throw missing(id, "cost_table");
      const recorded = recordedData(history);
      const job = { spec, supernet, table, checkpoint, ...(recorded && { recorded }) };
      return async () => kept(await cutOut(searchId, job, signal));
    }
    const { genotype, candidate, kept } = found;
    const job = { dataAccess, spec, genotype, checkpoint, ...(candidate !== undefined && { candidate }) };
    return async () => {
      const outcome = await run(searchId, { kind: "keep", job }, signal);
      if (outcome.kind !== "keep") throw new LatheError("INTERNAL", `a kept network came back as ${outcome.kind}`);
      return kept(outcome.taken);
    };
  };
  const keep = async (work: WorkItem<"keep">, { history, signal, held }: WorkInHand) => {
    const { searchId } = work;
    // The trainer may have published one more epoch while it stopped.
    const rest = await readingNewest(bus, searchId, history, signal, (known) => preparedKeep(work, known, signal));
    await publishEvent(bus, searchId, { type: "network.kept", data: await rest() }, { signal: held });
  };

  return consumeWork<Kind>(bus, {
    queues: [{ kind: "derive" }, { kind: "keep" }],
    over: overOf,
    handler: (work, inHand) => {
      if (work.kind === "keep") return keep(work as WorkItem<"keep">, inHand);
      const { repair: aim } = (work as WorkItem<"derive">).data;
      return aim ? repair(work as WorkItem<"derive">, aim, inHand) : derive(work as WorkItem<"derive">, inHand);
    },
    afterEnd: ({ kind }) => (kind === "keep" ? nothingKept : undefined),
    onDeleted: (searchId) => artifacts.deleteAll(searchId),
    ackWaitMs: leaseMs,
  });
}

/** The event of a search whose network so far cannot be kept. */
function nothingKept({ reason, message }: LatheError): LatheEvent {
  const data = NetworkKept.fromPartial({ reason, message: `the network so far could not be kept: ${message}` });
  return { type: "network.kept", data };
}

/** The history that has the supernet: that of the search itself, or of the one from whose supernet it starts. */
async function supernetHistory(
  bus: Bus,
  history: readonly StoredEvent[],
  signal: AbortSignal,
): Promise<readonly StoredEvent[]> {
  const created = history.find(({ event }) => event.type === "search.created")?.event;
  const origin = created?.type === "search.created" ? created.data.origin : undefined;
  return origin ? historyOnce(bus, origin.searchId, 0, signal) : history;
}

/** Input of a derivation: spec and cost table from the work item, the supernet from its search's history. */
function startOf({ id, data }: WorkItem<"derive">, history: readonly StoredEvent[]) {
  const converged = history.find(({ event }) => event.type === "supernet.converged")?.event;
  if (converged?.type !== "supernet.converged") throw missing(id, "supernet.converged in its search's history");
  const { checkpoint } = converged.data;
  if (!data.spec) throw missing(id, "spec");
  if (!data.costTable) throw missing(id, "cost_table");
  if (!checkpoint) throw missing(id, "final checkpoint in its search's supernet.converged");
  return { spec: resolve(data.spec).spec, table: data.costTable, supernet: converged.data, checkpoint };
}

function missing(id: string, what: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `work item ${id} has no ${what}`, { reason: "WORK_INVALID" });
}
