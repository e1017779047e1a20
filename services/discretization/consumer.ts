import type { EngineOptions } from "../../shared/engine/engine";
import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { consumeEvents, type Consumption } from "../../shared/events/consumer";
import { historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent } from "../../shared/events/publisher";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET, DURABLES, eventFilter } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import { startWorker, type Worker } from "../../shared/process/worker";
import { macsTable } from "../../shared/space/cost";
import { resolve } from "../../shared/spec/resolve";
import type { Job, Message, Outcome, Reply } from "./jobs";
import type { DerivationMetrics } from "./metrics";

export interface DeriverOptions {
  bus: Bus;
  engine: EngineOptions;
  logger: Logger;
  metrics: DerivationMetrics;
  /** Silence after which this process is taken for dead. */
  leaseMs?: number;
}

/** Derives the network of every supernet that has converged, and tells of it. */
export function consume({ bus, engine, logger, metrics, leaseMs = 60_000 }: DeriverOptions): Promise<Consumption> {
  const worker: Worker<Job, Message, Outcome, Reply> = startWorker({ dir: __dirname, name: "worker" });
  const checkpoints = new Objects(bus, CHECKPOINTS_BUCKET);
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);

  const derive = async ({ searchId, event }: StoredEvent, signal: AbortSignal): Promise<void> => {
    if (event.type !== "supernet.converged") return;
    const history = await historyOnce(bus, searchId, 0, signal);
    if (history.some((stored) => ENDED.has(stored.event.type))) {
      logger.info("derivation skipped: it is done or the search has ended", { searchId });
      return;
    }
    const created = history.find((stored) => stored.event.type === "search.created")?.event;
    if (created?.type !== "search.created" || !created.data.spec || !event.data.checkpoint)
      throw new LatheError("INVALID_ARGUMENT", `search ${searchId} has no spec or no final checkpoint`, {
        reason: "EVENT_INVALID",
      });
    const { spec, space } = resolve(created.data.spec);
    const measured = history.find((stored) => stored.event.type === "operators.profiled")?.event;
    const table = (measured?.type === "operators.profiled" && measured.data.table) || macsTable(space);
    const checkpoint = await checkpoints.get(event.data.checkpoint.object, signal);
    const data = await metrics.derived(() =>
      worker.run(
        { engine, spec, converged: event.data, table, checkpoint },
        {
          signal,
          onMessage: ({ kind, bytes, mediaType }) =>
            artifacts.put(`${searchId}/${kind}`, bytes, { kind, mediaType, signal }),
        },
      ),
    );
    metrics.gap(data.discretizationGap);
    await publishEvent(bus, searchId, { type: "architecture.derived", data }, { signal });
  };

  return consumeEvents(bus, {
    durable: DURABLES.discretization,
    filter: eventFilter("supernet.converged"),
    handler: (stored, { signal }) => derive(stored, signal),
    onPoison: async ({ stored, error, deliveries }) => {
      if (!stored) return;
      const { reason, message } = error;
      const data = { phase: "derive", reason, message, deliveries };
      await publishEvent(bus, stored.searchId, { type: "work.failed", data });
    },
    // Evaluating twice is quick, but a large validation split may take minutes; the lease is kept alive meanwhile.
    ackWaitMs: leaseMs,
  });
}

const ENDED = new Set<string>([
  "architecture.derived",
  "work.failed",
  "search.cancelled",
  "search.failed",
  "search.succeeded",
]);
