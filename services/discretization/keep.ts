import type { EventData, EventName, StoredEvent } from "../../shared/events/catalog";
import { derivedNetwork } from "../../shared/events/derivedNetwork";
import { LatheError } from "../../shared/process/errors";
import { NetworkKept, type ArchitectureDerived, type CandidateEvaluated } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { isConverged } from "../../shared/space/groups";
import { givenGenotype } from "../../shared/spec/algorithm";
import type { ResolvedSpec } from "../../shared/spec/resolve";
import type { Taken, TrainedSupernet } from "./jobs";

/** The best network of a cancelled search, as its history tells: known in full, to be cut out of a supernet, or in a checkpoint. */
type Newest =
  | { from: "events"; kept: NetworkKept }
  | {
      from: "supernet";
      supernet: TrainedSupernet;
      checkpoint: ArtifactRef;
      kept: (derived: ArchitectureDerived) => NetworkKept;
    }
  | {
      from: "checkpoint";
      checkpoint: ArtifactRef;
      genotype: Genotype;
      /** Algorithm random: the network, as CandidateEvaluated.index. */
      candidate?: number;
      kept: (taken: Taken) => NetworkKept;
    };

/**
 * The network of the latest phase that the search has reached: the retrained one, the best epoch of retraining, the derived one, the argmax
 * of the newest supernet, or the best candidate. FAILED_PRECONDITION (NOT_TRAINED) where no epoch has ended.
 */
export function newestNetwork(spec: ResolvedSpec, history: readonly StoredEvent[]): Newest {
  const of = <N extends EventName>(name: N) =>
    history.flatMap(({ event }) => (event.type === name ? [event.data as EventData<N>] : []));
  const derived = derivedNetwork(history);
  const genotype = derived?.genotype ?? givenGenotype(spec);
  const decidedBy = derived?.decidedBy ?? DecidedBy.DECIDED_BY_UNSPECIFIED;

  const trained = of("network.trained").at(-1);
  if (trained && genotype) {
    const { bestEpoch: epoch, validationMiou, figures, onnx, weights, deploy, classScores } = trained;
    const miouClasses = classScores.filter(({ occurs }) => occurs).length;
    const taken = { epoch, validationMiou, figures, onnx, weights, deploy };
    return { from: "events", kept: retrained(genotype, { decidedBy, miouClasses }, taken, "the retrained network") };
  }
  const retraining = newest(of("retraining.epoch.completed"), ({ epoch }) => epoch);
  if (retraining?.checkpoint && genotype) {
    const { checkpoint, epoch, epochs } = retraining;
    // The number of classes follows from the labels. An epoch that is not evaluated has none.
    const miouClasses = Math.max(...of("retraining.epoch.completed").map((told) => told.miouClasses));
    const what = `the best evaluated of the first ${epoch} of ${epochs} epochs of retraining`;
    const kept = (taken: Taken) => retrained(genotype, { decidedBy, miouClasses }, taken, what);
    return { from: "checkpoint", checkpoint, genotype, kept };
  }
  if (derived) return { from: "events", kept: cut("derive", 0, derived, "the derived network") };

  const converged = of("supernet.converged").at(-1);
  if (converged?.checkpoint) {
    const { checkpoint } = converged;
    const kept = (event: ArchitectureDerived) =>
      cut("derive", converged.epochs, event, `the network of the supernet after all of its ${converged.epochs} epochs`);
    return { from: "supernet", supernet: converged, checkpoint, kept };
  }
  const completed = newest(of("epoch.completed"), ({ metrics }) => metrics?.epoch ?? 0);
  if (completed?.checkpoint) {
    const { metrics, space, architecture, checkpoint } = completed;
    const { epoch = 0, epochs = 0 } = metrics ?? {};
    const decided = architecture && isConverged(architecture);
    const by = decided ? DecidedBy.DECIDED_BY_SHRINKING : DecidedBy.DECIDED_BY_ARGMAX;
    const kept = (event: ArchitectureDerived) =>
      cut("train", epoch, event, `the argmax of the supernet after epoch ${epoch} of ${epochs}`);
    return { from: "supernet", supernet: { space, architecture, checkpoint, decidedBy: by }, checkpoint, kept };
  }
  // The first among equals, as the search would choose.
  const candidates = of("candidate.evaluated").sort((a, b) => b.index - a.index);
  const best = newest(candidates, ({ validationMiou }) => validationMiou);
  if (best?.genotype) {
    // Evolution trains a supernet, candidate 0: its networks inherit their weights anew at each evaluation.
    const trainings = of("sampling.epoch.completed").filter(({ candidate }) => candidate === best.index);
    const sampling = newest(trainings, ({ epoch }) => epoch);
    if (!sampling?.checkpoint)
      return { from: "events", kept: chosen(best, candidates.length, "; its weights are not kept") };
    const { checkpoint } = sampling;
    const { genotype: network, index: candidate } = best;
    const kept = ({ onnx, weights }: Taken) => ({ ...chosen(best, candidates.length), onnx, weights });
    return { from: "checkpoint", checkpoint, genotype: network, candidate, kept };
  }
  throw new LatheError("FAILED_PRECONDITION", "no epoch of the search has ended", { reason: "NOT_TRAINED" });
}

/** The last of the items with the largest number. */
function newest<T>(items: readonly T[], number: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>((best, item) => (best && number(item) < number(best) ? best : item), undefined);
}

const at = (miou: number) => `at ${(100 * miou).toFixed(1)} mIoU points`;

function retrained(
  genotype: Genotype,
  more: Pick<NetworkKept, "decidedBy" | "miouClasses">,
  taken: Taken,
  what: string,
): NetworkKept {
  const message = `${what}: epoch ${taken.epoch}, ${at(taken.validationMiou)}`;
  return NetworkKept.fromPartial({ phase: "retrain", genotype, ...more, ...taken, message });
}

function cut(phase: "train" | "derive", epoch: number, event: ArchitectureDerived, what: string): NetworkKept {
  const { genotype, decidedBy, supernetMiou, discreteMiou: validationMiou, miouClasses, figures, costRatio } = event;
  const { onnx, weights, dataChange } = event;
  const message = `${what}, ${at(validationMiou)}`;
  const found = {
    dataChange,
    genotype,
    decidedBy,
    supernetMiou,
    validationMiou,
    miouClasses,
    figures,
    costRatio,
    onnx,
    weights,
  };
  return NetworkKept.fromPartial({ phase, epoch, ...found, message });
}

function chosen(
  { index, candidates, genotype, figures, costRatio, validationMiou, miouClasses }: CandidateEvaluated,
  evaluated: number,
  more = "",
): NetworkKept {
  const decidedBy = DecidedBy.DECIDED_BY_SELECTION;
  const message = `network ${index}, the best of ${evaluated} evaluated of ${candidates}, ${at(validationMiou)}${more}`;
  const found = {
    genotype,
    decidedBy,
    validationMiou,
    miouClasses,
    figures,
    costRatio,
    onnx: undefined,
    weights: undefined,
  };
  return NetworkKept.fromPartial({ phase: "train", epoch: index, ...found, message });
}
