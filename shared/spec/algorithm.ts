import type { Genotype, SearchSpace } from "../proto/lathe/v1/space";
import { AlgorithmKind, BudgetPolicy } from "../proto/lathe/v1/spec";
import type { AlgorithmSpec, RetrainingSpec, SearchSpec } from "../proto/lathe/v1/spec";
import { genotypeViolations, isMember } from "../space/genotype";
import { isOneOf, type Fault } from "./bounds";
import type { ResolvedSpec } from "./presets";

/** The given network of a spec with algorithm.kind fixed; undefined for every other algorithm. */
export function givenGenotype(spec: Pick<SearchSpec, "algorithm"> | undefined): Genotype | undefined {
  return spec?.algorithm?.kind === AlgorithmKind.ALGORITHM_KIND_FIXED ? spec.algorithm.genotype : undefined;
}

/**
 * Resolves the algorithm, and returns the given genotype if it is required and has no faults: further checks need a genotype without
 * faults.
 */
export function resolveAlgorithm(
  defaults: AlgorithmSpec,
  set: AlgorithmSpec | undefined,
  fault: Fault,
): { algorithm: AlgorithmSpec; given: Genotype | undefined } {
  const algorithm = { kind: set?.kind || defaults.kind, genotype: set?.genotype };
  const { kind, genotype } = algorithm;
  if (!isOneOf(AlgorithmKind, kind))
    fault("algorithm.kind", `is ${kind}, must be one of ssr, darts, random, evolution, fixed`);
  if (kind !== AlgorithmKind.ALGORITHM_KIND_FIXED) {
    if (genotype !== undefined)
      fault("algorithm.genotype", "is set, but only algorithm.kind fixed takes one; leave it out");
    return { algorithm, given: undefined };
  }
  if (genotype === undefined) {
    fault("algorithm.genotype", "is not set, must be the network to train: algorithm.kind is fixed");
    return { algorithm, given: undefined };
  }
  const violations = genotypeViolations(genotype, "algorithm.genotype.");
  for (const { field, description } of violations) fault(field, description);
  return { algorithm, given: violations.length === 0 ? genotype : undefined };
}

/**
 * Turns a spec of kind darts (Liu et al., 2019, first order) into a supernet search without regularization. Nothing shrinks before the last
 * epoch, then argmax decides all groups. The alarm on late entropy is off, because undecided groups are expected.
 */
export function asDarts(spec: ResolvedSpec): void {
  if (spec.algorithm.kind !== AlgorithmKind.ALGORITHM_KIND_DARTS) return;
  Object.assign(spec.regularization, { depth: 0, operation: 0, outputWidth: 0, middleWidth: 0 });
  Object.assign(spec.shrinking, { firstEpoch: spec.training.epochs, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_ARGMAX });
  spec.health.maxLateEntropy = 1;
}

/** Whether a spec's algorithm draws and evaluates whole networks (random, evolution) instead of shrinking a supernet. */
export function isSampling(spec: Pick<SearchSpec, "algorithm"> | undefined): boolean {
  const kind = spec?.algorithm?.kind;
  return kind === AlgorithmKind.ALGORITHM_KIND_RANDOM || kind === AlgorithmKind.ALGORITHM_KIND_EVOLUTION;
}

/** Networks of a search that are trained apart, each as a work item of its own: those of random; 0 for every other algorithm. */
export function trainedApart({ algorithm, sampling }: Pick<SearchSpec, "algorithm" | "sampling">): number {
  return algorithm?.kind === AlgorithmKind.ALGORITHM_KIND_RANDOM ? (sampling?.candidates ?? 0) : 0;
}

/** Checks a spec of an algorithm that draws networks. */
export function checkSampling(spec: ResolvedSpec, fault: Fault): void {
  const { algorithm, sampling, training } = spec;
  const atMost = (name: "candidates" | "population" | "tournament", bound: string, limit: number) => {
    if (sampling[name] > limit) fault(`sampling.${name}`, `is ${sampling[name]}, must be at most ${bound}, ${limit}`);
  };
  // The budget is 2 * training.epochs epochs of images. With at most training.epochs networks each gets two epochs, less its evaluation.
  if (algorithm.kind === AlgorithmKind.ALGORITHM_KIND_RANDOM) atMost("candidates", "training.epochs", training.epochs);
  else {
    atMost("population", "sampling.evaluations", sampling.evaluations);
    atMost("tournament", "sampling.population", sampling.population);
  }
}

/** Checks a spec against its given genotype: equal sizes, a (valid) space that contains it, and retraining from scratch. */
export function checkGiven(genotype: Genotype, space: SearchSpace, retraining: RetrainingSpec, fault: Fault): void {
  const sizes = [
    ["classes", genotype.classes, space.classes],
    ["input_height", genotype.inputHeight, space.inputHeight],
    ["input_width", genotype.inputWidth, space.inputWidth],
    ["stem_channels", genotype.stemChannels, space.stemChannels],
  ] as const;
  const differing = sizes.filter(([, own, asked]) => own !== asked);
  for (const [name, own, asked] of differing) {
    const why = name === "classes" ? "as many as the data set has" : `as space.${name} says`;
    fault(`algorithm.genotype.${name}`, `is ${own}, must be ${asked}, ${why}`);
  }
  if (differing.length === 0 && !isMember(space, genotype))
    fault(
      "algorithm.genotype",
      "is not a network of the spec's space; leave out stages, kinds, dilations, scales, pyramid_channels and head_widths of space",
    );
  const pyramid = genotype.pyramidChannels ?? 0;
  if (pyramid > 0 && retraining.pyramidChannels !== pyramid)
    fault(
      "retraining.pyramid_channels",
      `is ${retraining.pyramidChannels}, must be ${pyramid}, as algorithm.genotype.pyramid_channels says`,
    );
  if (retraining.epochs === 0)
    fault("retraining.epochs", "is 0, must be at least 1: a search of kind fixed only trains its network");
  if (retraining.inheritWeights === true)
    fault("retraining.inherit_weights", "is true, but a fixed network has no supernet to inherit from");
}
