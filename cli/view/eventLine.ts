import { DecidedBy } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { CostCheck } from "../../shared/proto/lathe/v1/space";
import { givenGenotype } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import { phaseOfProgress } from "../../shared/spec/phases";
import {
  alarmEffects,
  alarmTime,
  dimensionNames,
  duration,
  genotypeLine,
  milliseconds,
  overClasses,
  percent,
  quantity,
  framesPerSecond,
} from "./format";
import type { SearchView } from "./searchView";

/** A message of progress as one line; undefined for other events and for unknown work. */
export function stepLine({ event }: WatchSearchResponse): string | undefined {
  if (event?.$case !== "trainingProgressed") return undefined;
  const { phase, epoch, epochs, step, steps, loss } = event.value;
  const of = `${step} of ${steps}`;
  switch (phaseOfProgress(phase)) {
    case "operators":
      return `operators: measurement ${of}`;
    case "derive":
      return `repair: network ${of}`;
    case "search":
    case "retrain":
      return `${phase === "train" ? "search" : "retraining"} epoch ${epoch}/${epochs}: step ${of}, loss ${loss.toFixed(3)}`;
    default:
      return undefined;
  }
}

/** An event as one line, for logs and pipes; undefined for events without a line. `view` is the state after the event. */
export function eventLine({ event }: WatchSearchResponse, view: SearchView): string | undefined {
  switch (event?.$case) {
    case "searchCreated": {
      const given = givenGenotype(event.value.spec);
      if (given) return `search ${view.searchId} created: ${view.title}; ${genotypeLine(given)}`;
      const candidates = view.candidates.reduce((sum, { start }) => sum + start, 0);
      return `search ${view.searchId} created: ${view.title}; 10^${view.log10Start.toFixed(1)} networks${candidates > 0 ? `, ${candidates} candidates` : ""}`;
    }
    case "operatorsProfiled":
      return `operators measured on ${event.value.conditions?.device ?? "the device"}: ${event.value.table?.candidates.length ?? 0} candidates${checkLine(event.value.table?.check)}`;
    case "epochCompleted": {
      const { metrics } = event.value;
      if (!metrics) return undefined;
      const left = metrics.dimensions.map(({ dimension, candidates }) => `${dimensionNames[dimension]} ${candidates}`);
      return (
        `search epoch ${metrics.epoch}/${metrics.epochs}: loss ${metrics.weightLoss.toFixed(3)}, mIoU ${percent(metrics.validationMiou)}, ` +
        `cost ${percent(metrics.expectedCostRatio)}, SSR x${metrics.ssrFactor.toFixed(1)}, 10^${metrics.log10Space.toFixed(1)} networks (${left.join(", ")}), ${metrics.seconds.toFixed(1)} s`
      );
    }
    case "spaceShrunk": {
      const { epoch, removals, candidatesLeft } = event.value;
      const counts = Object.entries(dimensionNames).flatMap(([dimension, name]) => {
        const count = removals.filter((removal) => String(removal.dimension) === dimension).length;
        return count > 0 ? [`${name} ${count}`] : [];
      });
      return `shrunk after epoch ${epoch}: ${removals.length} candidates left the space (${counts.join(", ")}), ${candidatesLeft} stay`;
    }
    case "healthAlarmRaised": {
      const { kind, epoch, policy, message } = event.value;
      const effect = alarmEffects[policy];
      return `alarm ${alarmReason(kind)} ${alarmTime(epoch)}${effect ? ` (${effect})` : ""}: ${message}`;
    }
    case "supernetConverged": {
      const { decidedBy, convergedEpoch, epochs, validationMiou, seconds, stoppedEarly } = event.value;
      const decided =
        decidedBy === DecidedBy.DECIDED_BY_SHRINKING
          ? `converged after epoch ${convergedEpoch}`
          : "not converged: argmax decides";
      const how = stoppedEarly ? `${decided}, stopped early` : decided;
      return `supernet trained: ${how}, ${epochs} epochs in ${duration(seconds)}, mIoU ${percent(validationMiou)}`;
    }
    case "samplingEpochCompleted": {
      const { epoch, epochs, candidate, loss, seconds } = event.value;
      const what = candidate > 0 ? `network ${candidate}` : "supernet, by single paths";
      return `search epoch ${epoch}/${epochs} (${what}): loss ${loss.toFixed(3)}, ${seconds.toFixed(1)} s`;
    }
    case "candidateEvaluated": {
      const { index, candidates, genotype, parent, costRatio, validationMiou, seconds } = event.value;
      const from = parent > 0 ? `from network ${parent}` : "drawn at random";
      return (
        `network ${index}/${candidates} ${from}: ${genotype ? genotypeLine(genotype) : ""}; mIoU ${percent(validationMiou)}, ` +
        `cost ${percent(costRatio)}, ${seconds.toFixed(1)} s`
      );
    }
    case "architectureDerived": {
      const { genotype, supernetMiou, discreteMiou, miouClasses, discretizationGap, figures, selection } = event.value;
      const changed = event.value.dataChange && `; ${event.value.dataChange}`;
      const discrete = overClasses(discreteMiou, miouClasses);
      const network = genotype ? genotypeLine(genotype) : "";
      const counts = `${quantity(figures?.params ?? 0)} params, ${quantity(figures?.macs ?? 0)} MACs`;
      if (selection)
        return `network chosen as the best of ${selection.candidates}: ${network}; mIoU ${discrete}, ${counts}`;
      return `network derived: ${network}; mIoU ${percent(supernetMiou)} -> ${discrete} (gap ${(100 * discretizationGap).toFixed(2)} points), ${counts}${changed}`;
    }
    case "architectureMeasured": {
      const { latency } = event.value;
      if (!latency) return undefined;
      const unstable = latency.unstableBecause.map((reason) => `; unstable: ${reason}`);
      return `network measured before training: ${milliseconds(latency.calibratedP50Seconds || latency.p50Seconds)}${unstable.join("")}`;
    }
    case "architectureRepaired": {
      const { number, changes, miouBefore, discreteMiou, evaluated, seconds } = event.value;
      const tried = `${evaluated} networks compared in ${duration(seconds)}`;
      if (changes.length === 0) return `repair ${number}: no network of the space is nearer to the target; ${tried}`;
      return `repair ${number}: ${changes.join(", ")}; mIoU ${percent(miouBefore)} -> ${percent(discreteMiou)} before training; ${tried}`;
    }
    case "architectureChosen": {
      const { repair, measuredSeconds } = event.value;
      const which = repair === 0 ? "the derived network" : `the network of repair ${repair}`;
      return `the search goes on with ${which}, the nearest to the target: ${milliseconds(measuredSeconds)}`;
    }
    case "retrainingEpochCompleted": {
      const { epoch, epochs, loss, validationMiou, bestMiou, seconds } = event.value;
      const best = `best ${percent(bestMiou)}`;
      const miou =
        validationMiou === undefined ? `not evaluated, ${best}` : `mIoU ${percent(validationMiou)} (${best})`;
      return `retraining epoch ${epoch}/${epochs}: loss ${loss.toFixed(3)}, ${miou}, ${seconds.toFixed(1)} s`;
    }
    case "networkTrained":
      return `network trained: mIoU ${percent(event.value.validationMiou)} at epoch ${event.value.bestEpoch}, in ${duration(event.value.seconds)}`;
    case "networkProfiled": {
      const { latency } = event.value;
      if (!latency) return undefined;
      const unstable = latency.unstableBecause.map((reason) => `; unstable: ${reason}`);
      return `network measured: p50 ${milliseconds(latency.p50Seconds)}, p95 ${milliseconds(latency.p95Seconds)}, ${framesPerSecond(latency)}${unstable.join("")}`;
    }
    case "deviceAvailabilityChanged":
      return event.value.message;
    case "searchBranched": {
      const { searchId, target } = event.value.branch ?? {};
      return `search ${searchId} goes on from this supernet, to ${target}`;
    }
    case "searchPaused":
      return `search paused${event.value.reason ? `: ${event.value.reason}: ${event.value.message}` : ""}`;
    case "searchResumed":
      return `search resumed (${event.value.resumption})`;
    case "workFailed":
      return `${event.value.phase} failed: ${event.value.reason}: ${event.value.message}`;
    case "searchCancelled":
      return `search cancelled${event.value.reason && `: ${event.value.reason}`}`;
    case "networkKept":
      return `${event.value.genotype ? "kept" : "nothing is kept"}: ${event.value.message}`;
    case "searchFailed":
      return `search failed in ${event.value.phase || "an unknown phase"}: ${event.value.reason}: ${event.value.message}`;
    case "searchSucceeded":
      return "search succeeded";
    case "spaceKept":
    case "trainingProgressed":
    case undefined:
      return undefined;
  }
}

/** The check of a table of latencies; empty where it has none. */
const checkLine = (check: CostCheck | undefined): string =>
  check
    ? `; on ${check.networks} networks the mean error is ${percent(check.meanError)}, the rank correlation ${check.rankCorrelation.toFixed(3)}`
    : "";
