import { nextCommand } from "../../services/search/commands";
import { project } from "../../services/search/lifecycle";
import { newRecord, type SearchRecord } from "../../services/search/record";
import { answer } from "../../services/shrinking/consumer";
import type { LatheEvent } from "../../shared/events/catalog";
import { LatheError } from "../../shared/process/errors";
import {
  ArchitectureDerived,
  EpochCompleted,
  NetworkProfiled,
  SupernetConverged,
} from "../../shared/proto/lathe/v1/events";
import { DecidedBy, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Architecture, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, DatasetKind, SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../../shared/space/genotype";
import { dimensionMetrics, initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { specDigest, resolve } from "../../shared/spec/resolve";

/** The events of one search in order, and the record that the search service builds from them. */
interface History {
  events: LatheEvent[];
  record: SearchRecord;
}

const HOST = { latheVersion: "bench", nodeVersion: process.version, platform: process.platform, cpu: "" };
/** Alphas of the winner of a group and of a removed candidate, whose probability is below the thresholds of all presets. */
const WON = 2;
const LOST = -2.8;

/** The spec of every stored search: preset small without retraining, on the generated data set. */
export function benchSpec(epochs: number): SearchSpec {
  return SearchSpec.fromPartial({
    preset: "small",
    algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_SSR },
    dataset: { kind: DatasetKind.DATASET_KIND_STREETS },
    training: { epochs },
    retraining: { epochs: 0 },
    labels: { bench: "control" },
  });
}

/**
 * The events of a search of preset small after `epochs` epochs: each epoch with its architecture and the decision of the shrinking
 * service; if finished, also the events up to search.succeeded. Its id is `searchId`; sequences count from 1.
 */
export function history(searchId: string, epochs: number, finished: boolean): History {
  const budget = finished ? epochs : epochs + 1;
  const { spec, space } = resolve(benchSpec(budget));
  const specSha256 = specDigest(spec);
  const start = new Date("2026-01-01T00:00:00.000Z");
  const events: LatheEvent[] = [];
  let record = newRecord(searchId, { spec, space, specSha256 }, start);
  const tell = (event: LatheEvent) => {
    events.push(event);
    const time = new Date(start.getTime() + events.length * 60_000);
    record = project(record, { sequence: events.length, time, searchId, event }) ?? record;
  };
  tell({ type: "search.created", data: { spec, space, specSha256 } });
  let architecture = initialArchitecture(space);
  for (let epoch = 1; epoch <= epochs; epoch++) {
    architecture = moved(architecture, epoch, epochs);
    const told = epochEvent(space, architecture, epoch, budget);
    tell({ type: "epoch.completed", data: { ...told, policy: spec.shrinking } });
    const decision = answer({ ...told, policy: spec.shrinking });
    tell(decision);
    if (decision.type === "space.shrunk") architecture = decision.data.architecture ?? architecture;
  }
  if (finished) {
    tell({
      type: "supernet.converged",
      data: SupernetConverged.fromPartial({
        ...{ decidedBy: DecidedBy.DECIDED_BY_SHRINKING, convergedEpoch: epochs, epochs, architecture, space },
        ...{ checkpoint: ref(searchId, "supernet"), validationMiou: 0.5, seconds: 60 * epochs },
      }),
    });
    tell({
      type: "architecture.derived",
      data: ArchitectureDerived.fromPartial({
        ...{ genotype: largestGenotype(space), supernetMiou: 0.5, discreteMiou: 0.5, costRatio: 0.6 },
        ...{ figures: { params: 1e5, macs: 1e8 }, decidedBy: DecidedBy.DECIDED_BY_SHRINKING },
        ...{ onnx: ref(searchId, "derived.onnx"), weights: ref(searchId, "derived.weights") },
      }),
    });
    tell({ type: "network.profiled", data: NetworkProfiled.fromPartial({ latency: { device: "cpu", runs: 100 } }) });
  }
  const next = nextCommand(record, HOST);
  if (next?.do === "publish") tell(next.event);
  else if (next) record = { ...record, issued: next.id };
  if (finished !== (events.at(-1)?.type === "search.succeeded"))
    throw new LatheError("INTERNAL", "a finished search of the benchmark does not end with search.succeeded");
  return { events, record };
}

/** In every group the first survivor wins. The others fall one after another, the last before the last epoch. */
function moved({ groups }: Architecture, epoch: number, epochs: number): Architecture {
  return {
    groups: groups.map((group, at) => ({
      ...group,
      alphas: group.survivors.map((candidate, index) => {
        const lostAt = epochs * (0.1 + 0.85 * (((candidate + 1) * 7 + at * 3) % 50) * 0.02);
        return index === 0
          ? WON
          : Math.max(2 * LOST, WON + ((LOST - WON) * epoch) / lostAt) + 1e-3 * Math.sin(at + epoch);
      }),
    })),
  };
}

function epochEvent(space: SearchSpace, architecture: Architecture, epoch: number, epochs: number): EpochCompleted {
  const falling = 1.5 / (1 + 0.05 * epoch) + 1e-3 * Math.sin(epoch);
  return EpochCompleted.fromPartial({
    metrics: {
      ...{ epoch, epochs, weightLoss: falling, alphaLoss: 1.1 * falling, costLoss: 0.3 * falling },
      ...{ expectedCost: 1e8 * falling, expectedCostRatio: 0.6 + 0.1 * falling, validationMiou: 0.6 - 0.3 * falling },
      ...{ validationLoss: 1.2 * falling, seconds: 60 + falling, log10Space: log10Size(space, architecture) },
      ...{ dimensions: dimensionMetrics(space, architecture), steps: 100, ssrFactor: epoch / epochs },
      ...{ learningRate: 1e-3 * falling, peakMemoryBytes: 1e9, costWeight: 3000, alphaLearningRate: 2e-3 },
      health: {
        ...{ classShare: 0.4, bestMiou: 0.6 - 0.3 * falling, bestEpoch: epoch, weightGradientNorm: falling },
        ...{ alphaGradientNorm: falling, relativeAlphaGradientNorm: falling / 100, capacity: 0.9 },
      },
    },
    architecture,
    checkpoint: ref("s", `epoch${epoch}`),
    space,
  });
}

const ref = (searchId: string, kind: string): ArtifactRef => ({
  object: `${searchId}/0123456789ab/${kind}`,
  kind,
  sizeBytes: 1e6,
  sha256: "0".repeat(64),
  mediaType: "application/octet-stream",
});
