import { Genotype, type Architecture, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import { NetworkTrained } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { costOfLargest, genotypeCost, macsTable } from "../../shared/space/cost";
import { derive } from "../../shared/space/genotype";
import { candidatesLeft, initialArchitecture, spaceKinds } from "../../shared/space/groups";
import { searchedHead } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { log10Size } from "../../shared/space/size";
import { givenGenotype } from "../../shared/spec/algorithm";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { withShare } from "../../shared/spec/target";
import { decideEpoch } from "../../shared/spec/shrinking";
import { eventsOf } from "../search/events";
import { differences, type Comparison } from "./compare";
import type { ResultFolder } from "./folder";

/** Compares the spec and the space with what the spec resolves to. */
export function compareSpec({ spec, result, created }: ResultFolder): Comparison[] {
  const { spec: resolved, space } = resolve(spec);
  const digest = specDigest(resolved);
  return [
    {
      ...{ name: "spec", from: "result.json, resolved again: each field and its SHA-256" },
      differences: [
        ...differences(created.spec && SearchSpec.toJSON(created.spec), SearchSpec.toJSON(resolved), "spec"),
        ...differences([created.specSha256, result.provenance?.specSha256], [digest, digest], "spec_sha256"),
      ],
    },
    {
      ...{ name: "space", from: "the spec" },
      differences: differences(created.space && withDefaults(created.space), withDefaults(space), "space"),
    },
  ];
}

/** A result of an earlier version lacks the kinds and the pyramid in its space. */
const withDefaults = (space: SearchSpace): SearchSpace => ({
  ...space,
  kinds: spaceKinds(space).map(({ kind }) => kind),
  pyramidChannels: space.pyramidChannels ?? 0,
});

/** Decides every epoch again from its architecture parameters, as the shrinking service does. */
export function compareDecisions({ events }: ResultFolder): Comparison | undefined {
  const shrunk = new Map(eventsOf(events, "spaceShrunk").map((one) => [one.epoch, one]));
  const kept = new Map(eventsOf(events, "spaceKept").map((one) => [one.epoch, one]));
  const epochs = eventsOf(events, "epochCompleted");
  if (epochs.length === 0) return undefined;
  return {
    name: "decisions",
    from: `the architecture parameters of ${epochs.length} epochs`,
    differences: epochs.flatMap((completed) => {
      const { epoch, removals, ...decided } = decideEpoch(completed);
      const derived = removals.length > 0 ? { epoch, removals, ...decided } : { epoch, converged: decided.converged };
      return differences(shrunk.get(epoch) ?? kept.get(epoch), derived, `epoch ${epoch}`);
    }),
  };
}

/** Derives the genotype: from the survivors of the supernet, from the networks evaluated, or from the spec. */
export function compareGenotype({ spec, result, genotype, events, created }: ResultFolder): Comparison {
  const [converged] = eventsOf(events, "supernetConverged").slice(-1);
  // The first among equals is the one of the lowest index.
  const candidates = eventsOf(events, "candidateEvaluated").sort((a, b) => a.index - b.index);
  const best = candidates.reduce<(typeof candidates)[number] | undefined>(
    (most, one) => (most && most.validationMiou >= one.validationMiou ? most : one),
    undefined,
  );
  const last = eventsOf(events, "spaceShrunk").at(-1)?.architecture;
  const survivors = ({ groups }: Architecture) =>
    Object.fromEntries(groups.map((group) => [group.id, group.survivors]));
  const [cut] = eventsOf(events, "architectureDerived");
  const [found, from] =
    converged?.architecture && created.space
      ? [derive(created.space, converged.architecture).genotype, "the architecture of the supernet at its end"]
      : created.origin
        ? [cut?.genotype, `the event of its derivation, from the supernet of search ${created.origin.searchId}`]
        : best
          ? [best.genotype, `the mIoU of the ${candidates.length} networks evaluated`]
          : [givenGenotype(spec), "the spec"];
  const repairs = repairsOf(events);
  const [chosen] = eventsOf(events, "architectureChosen");
  const final = (chosen ?? repairs.at(-1))?.genotype ?? found;
  const derived = final && Genotype.toJSON(final);
  const repaired = repairs.length > 0 ? `, after ${repairs.length} ${repairs.length === 1 ? "repair" : "repairs"}` : "";
  return {
    ...{ name: "genotype", from: `${from}${repaired}` },
    differences: [
      ...differences(Genotype.toJSON(genotype), derived, "genotype.json"),
      ...(converged?.architecture && last
        ? differences(survivors(converged.architecture), survivors(last), "survivors")
        : []),
      ...differences(result.genotype && Genotype.toJSON(result.genotype), derived, "result.json genotype"),
    ],
  };
}

/** Counts size and cost of the genotype and of the space again. */
export function compareSizes({ spec, result, genotype, events, created }: ResultFolder): Comparison {
  const { retraining } = spec;
  const head =
    (retraining?.epochs ?? 0) > 0
      ? { kind: "aggregation" as const, pyramidChannels: retraining?.pyramidChannels ?? 0 }
      : searchedHead(genotype);
  const searched = created.space && !givenGenotype(spec) ? sizesOfSearch(created.space, genotype) : {};
  const { params, macs } = networkCosts(genotype, head);
  const derived = { figures: { params, macs }, ...searched };
  function sizesOfSearch(space: SearchSpace, of: Genotype) {
    const [measured] = eventsOf(events, "operatorsProfiled");
    const table = measured?.table ?? created.origin?.costTable ?? macsTable(space);
    return {
      costRatio: genotypeCost(of, table) / costOfLargest(space, table),
      costTarget: withShare(spec, space, table).cost?.target ?? 0,
      log10SpaceStart: log10Size(space),
      candidatesStart: candidatesLeft(initialArchitecture(space)),
    };
  }
  const found = Object.fromEntries(Object.keys(derived).map((key) => [key, result[key as keyof typeof result]]));
  return {
    name: "sizes",
    from: "the genotype, the space and the cost table: parameters, MACs, cost, size of the space",
    differences: differences(found, derived),
  };
}

/** Follows mIoUs, gap, epochs and latency from the events. */
export function compareMeasurements({ result, events, created }: ResultFolder): Comparison {
  const [derivedEvent] = eventsOf(events, "architectureDerived").slice(-1);
  const [chosen] = eventsOf(events, "architectureChosen");
  const repaired = chosen ?? repairsOf(events).at(-1);
  const [converged] = eventsOf(events, "supernetConverged").slice(-1);
  const decided = [...eventsOf(events, "spaceShrunk"), ...eventsOf(events, "spaceKept")].filter((one) => one.converged);
  const firstConverged = Math.min(...decided.map(({ epoch }) => epoch));
  const [trained] = eventsOf(events, "networkTrained").slice(-1);
  const [profiled] = eventsOf(events, "networkProfiled").slice(-1);
  const epochs = eventsOf(events, "epochCompleted");
  const retraining = [...new Map(eventsOf(events, "retrainingEpochCompleted").map((one) => [one.epoch, one])).values()];
  const bestMiou = Math.max(...retraining.flatMap(({ validationMiou }) => validationMiou ?? []));
  const occurring = trained?.classScores.filter(({ occurs }) => occurs) ?? [];
  const fromSupernet =
    result.decidedBy === DecidedBy.DECIDED_BY_SHRINKING || result.decidedBy === DecidedBy.DECIDED_BY_ARGMAX;
  const derived: Partial<Record<keyof typeof result, unknown>> = {
    ...(derivedEvent && { discreteMiou: repaired?.discreteMiou ?? derivedEvent.discreteMiou }),
    ...(derivedEvent && fromSupernet && { discretizationGap: derivedEvent.supernetMiou - derivedEvent.discreteMiou }),
    // The supernet of a branch is in the events of another search.
    ...(derivedEvent &&
      fromSupernet &&
      !created.origin && {
        candidatesLeft: converged?.architecture && candidatesLeft(converged.architecture),
        convergedEpoch: result.decidedBy === DecidedBy.DECIDED_BY_SHRINKING ? firstConverged : 0,
        supernetMiou: epochs.at(-1)?.metrics?.validationMiou,
      }),
    ...(trained && {
      retrainedMiou: bestMiou,
      retrainedBestEpoch: retraining.find(({ validationMiou }) => validationMiou === bestMiou)?.epoch,
      classScores: NetworkTrained.fromPartial(trained).classScores,
    }),
    ...(profiled?.latency && { latency: LatencyFigures.fromPartial(profiled.latency) }),
  };
  const found = Object.fromEntries(Object.keys(derived).map((key) => [key, result[key as keyof typeof result]]));
  const mean = occurring.reduce((sum, { iou }) => sum + iou, 0) / Math.max(1, occurring.length);
  return {
    ...{ name: "measurements", from: "the events: mIoUs, gap, best epoch, IoU of the classes and their mean, latency" },
    differences: [
      ...differences(found, derived),
      ...(trained ? differences(result.retrainedMiou, mean, "mean of classScores") : []),
    ],
  };
}

/** The repairs that changed the network, in their order. */
const repairsOf = (events: ResultFolder["events"]) =>
  eventsOf(events, "architectureRepaired").filter(({ changes }) => changes.length > 0);
