import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { historyOnce, readingNewest } from "../../shared/events/history";
import { recordedData } from "../../shared/events/recordedData";
import { isToken } from "../../shared/events/subjects";
import { invalidField, LatheError } from "../../shared/process/errors";
import { admit, Turns } from "../../shared/process/turns";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Architecture, Genotype, SearchSpace } from "../../shared/proto/lathe/v1/space";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { SupernetServiceService, type DescribeSpaceResponse } from "../../shared/proto/lathe/v1/supernet";
import { service, type Service } from "../../shared/rpc/handlers";
import { headWidth, searchedHead } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { isMember, largestGenotype, validateGenotype } from "../../shared/space/genotype";
import { dimensionMetrics, initialArchitecture } from "../../shared/space/groups";
import { kindOf } from "../../shared/space/kinds/kinds";
import { liveHead, liveStages } from "../../shared/space/live";
import { operationName } from "../../shared/space/parts";
import { contributions, log10Size } from "../../shared/space/size";
import { isSampling } from "../../shared/spec/algorithm";
import { resolve } from "../../shared/spec/resolve";
import type { Trainer } from "./trainer";

/** Evaluations that may run or wait. They run one at a time, each in its own process with its own data set. */
const MAX_EVALUATIONS = 8;

/** SupernetService: the trainer's state, evaluations in a process of their own, and descriptions of spaces. */
export function supernetService(bus: Bus, trainer: Trainer): Service {
  const evaluations = new Turns();
  return service(SupernetServiceService, {
    getTrainingStatus: () => ({
      searchId: trainer.status?.searchId ?? "",
      progress: trainer.status?.progress && { phase: trainer.status.phase, ...trainer.status.progress },
      residentBytes: trainer.worker.rssBytes(),
    }),
    evaluateArchitecture: async ({ searchId, genotype }, { signal }) => {
      if (!genotype) throw invalidField("genotype", "is not set");
      validateGenotype(genotype);
      const before = await historyOf(bus, searchId, signal);
      const begun = trainedSupernet(searchId, before);
      requireInherited(begun, genotype);
      admit(evaluations.pending, MAX_EVALUATIONS, "evaluations", "EVALUATIONS_BUSY");
      const outcome = await evaluations.take(async () => {
        const job = await readingNewest(bus, searchId, before, signal, async (history) => {
          const found = trainedSupernet(searchId, history);
          requireInherited(found, genotype);
          const checkpoint = await trainer.checkpoints.get(found.checkpoint, signal);
          const recorded = recordedData(history);
          const evaluated = { spec: resolve(found.spec).spec, space: found.space, checkpoint, genotype };
          return { ...evaluated, ...(recorded && { recorded }) };
        });
        return trainer.worker.run({ ...trainer.settings, kind: "evaluate", job }, { signal });
      }, signal);
      if (outcome.kind !== "evaluate") throw new LatheError("INTERNAL", `evaluation came back as ${outcome.kind}`);
      const { miou, miouClasses, loss, dataChange } = outcome;
      const figures = networkCosts(genotype, searchedHead(begun.space));
      return { miou, miouClasses, loss, dataChange, figures };
    },
    describeSpace: ({ spec }) => {
      if (!spec) throw invalidField("spec", "is not set");
      return describeSpace(spec);
    },
  });
}

function describeSpace(asked: SearchSpec): DescribeSpaceResponse {
  const { spec, space } = resolve(asked);
  const start = initialArchitecture(space);
  const parts = new Map(contributions(space, start).map((part) => [part.dimension, part.log10]));
  return {
    spec,
    space,
    log10Size: log10Size(space, start),
    dimensions: dimensionMetrics(space, start).map(({ dimension, groups, candidates }) => ({
      dimension,
      groups,
      candidates,
      log10Size: parts.get(dimension) ?? 0,
    })),
    largest: networkCosts(largestGenotype(space), searchedHead(space)),
  };
}

interface Found {
  spec: SearchSpec;
  space: SearchSpace;
  /** The architecture that the checkpoint's weights belong to. */
  architecture: Architecture;
  checkpoint: ArtifactRef;
}

function historyOf(bus: Bus, searchId: string, signal: AbortSignal): Promise<StoredEvent[]> {
  if (!isToken(searchId))
    throw invalidField("search_id", `is "${searchId.slice(0, 64)}", must be 1 to 64 of a-z, 0-9 and -`);
  return historyOnce(bus, searchId, 0, signal);
}

/** Finds a supernet's newest checkpoint in its search's history. NOT_FOUND, or FAILED_PRECONDITION (NO_SUPERNET, NOT_TRAINED). */
function trainedSupernet(searchId: string, history: readonly StoredEvent[]): Found {
  let found: Partial<Found> = {};
  for (const { event } of history) {
    if (event.type === "search.created" && event.data.spec && event.data.space)
      found = { ...found, spec: event.data.spec, space: event.data.space };
    if (event.type === "epoch.completed" && event.data.checkpoint && event.data.architecture)
      found = { ...found, checkpoint: event.data.checkpoint, architecture: event.data.architecture };
  }
  const { spec, space, architecture, checkpoint } = found;
  if (!spec || !space) throw new LatheError("NOT_FOUND", `search "${searchId}" does not exist`);
  if (isSampling(spec))
    throw new LatheError(
      "FAILED_PRECONDITION",
      `search ${searchId} has no supernet to inherit from: its networks are evaluated as it goes (candidate.evaluated)`,
      { reason: "NO_SUPERNET" },
    );
  if (!checkpoint || !architecture)
    throw new LatheError("FAILED_PRECONDITION", `search ${searchId} has no trained epoch yet`, {
      reason: "NOT_TRAINED",
    });
  return { spec, space, architecture, checkpoint };
}

/** Refuses a (valid) genotype that is outside the space, or that uses an operation or channels which shrinking has removed. */
export function requireInherited(
  { space, architecture }: Pick<Found, "space" | "architecture">,
  genotype: Genotype,
): void {
  if (!isMember(space, genotype)) throw invalidField("genotype", "is not a network of the search's space");
  const stages = liveStages(space, architecture);
  genotype.stages.forEach((stage, s) => {
    const of = `stages[${s}]`;
    stage.blocks.forEach((block, b) => {
      const live = stages[s]?.blocks[b];
      const name = operationName(block);
      const found = live?.operations.find(({ operation }) => operation.name === name);
      if (!found)
        throw new LatheError(
          "FAILED_PRECONDITION",
          `genotype.stages[${s}].blocks[${b}]: operation ${name} has left the supernet${live ? "" : " with its block"}`,
          { reason: "OPERATION_REMOVED" },
        );
      const { expansion } = kindOf(block);
      requireChannels(`${of}.blocks[${b}].middle_width`, block.middleWidth, found.middleChannels / expansion);
      requireChannels(`${of}.blocks[${b}].output_width`, block.outputWidth, found.outputWidth);
    });
    // Behind the stage are the channels of the exits that are left, which may be fewer than those of this block.
    const [last, outputs] = [stage.blocks.length - 1, stages[s]?.outputs];
    requireChannels(`${of}.blocks[${last}].output_width`, stage.blocks[last]?.outputWidth ?? 0, outputs ?? 0);
  });
  for (const { width, channels } of liveHead(space, architecture))
    requireChannels(width.name, headWidth(width, genotype, space), channels);
}

/** Refuses more channels than the supernet still has. */
function requireChannels(field: string, channels: number, most: number): void {
  if (channels <= most) return;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `genotype.${field}: channels from ${most} on have left the supernet, the network has ${channels}`,
    { reason: "WIDTH_REMOVED" },
  );
}
