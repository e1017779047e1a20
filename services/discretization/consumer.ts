import type { EngineOptions } from "../../shared/engine/engine";
import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { Objects } from "../../shared/events/objects";
import { publishEvent } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { consumeWork } from "../../shared/events/searchWork";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import type { WorkItem } from "../../shared/events/work";
import type { Store } from "../../shared/network/export";
import { LatheError } from "../../shared/process/errors";
import { answerBy } from "../../shared/process/port";
import { resolve } from "../../shared/spec/resolve";
import { discretizationProcess } from "./jobs";
import type { DerivationMetrics } from "./metrics";

interface DeriverOptions {
  bus: Bus;
  engine: EngineOptions;
  /** The only folders whose data sets may be opened; undefined: any. */
  dataFolders?: readonly string[] | undefined;
  metrics: DerivationMetrics;
  /** Silence after which this process counts as dead, in ms. */
  leaseMs?: number;
}

/** Takes `derive` items one at a time, derives each network in a child process and publishes architecture.derived. */
export function consume({ bus, engine, dataFolders, metrics, leaseMs = 60_000 }: DeriverOptions): Promise<Consumption> {
  const worker = discretizationProcess();
  const checkpoints = new Objects(bus, CHECKPOINTS_BUCKET);
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  return consumeWork(bus, {
    queues: [{ kind: "derive" }],
    over: () => ({ "architecture.derived": "the network is derived" }),
    handler: async (work, { history, signal, held }) => {
      const { searchId } = work;
      const { checkpoint: ref, ...from } = startOf(work, history);
      const checkpoint = await checkpoints.get(ref, signal);
      const onMessage = answerBy<Store>({
        store: (kind, bytes, mediaType) => artifacts.put(`${searchId}/${kind}`, bytes, { kind, mediaType, signal }),
      });
      const run = async () => {
        const outcome = await worker.run(
          { kind: "derive", job: { engine, dataFolders, checkpoint, ...from } },
          { signal, onMessage },
        );
        if (outcome.kind !== "derive") throw new LatheError("INTERNAL", `a derivation came back as ${outcome.kind}`);
        return outcome.event;
      };
      const data = await metrics.derived(run, signal);
      metrics.gap(data.discretizationGap);
      await publishEvent(bus, searchId, { type: "architecture.derived", data }, { signal: held });
    },
    onDeleted: (searchId) => artifacts.deleteAll(searchId),
    ackWaitMs: leaseMs,
  });
}

/** Input of a derivation: spec and cost table from the work item, the supernet from its search's history. */
function startOf({ id, data }: WorkItem<"derive">, history: readonly StoredEvent[]) {
  const converged = history.find(({ event }) => event.type === "supernet.converged")?.event;
  if (converged?.type !== "supernet.converged") throw missing(id, "supernet.converged in its search's history");
  const { checkpoint } = converged.data;
  if (!data.spec) throw missing(id, "spec");
  if (!data.costTable) throw missing(id, "cost_table");
  if (!checkpoint) throw missing(id, "final checkpoint in its search's supernet.converged");
  return { spec: resolve(data.spec).spec, table: data.costTable, converged: converged.data, checkpoint };
}

function missing(id: string, what: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `work item ${id} has no ${what}`, { reason: "WORK_INVALID" });
}
