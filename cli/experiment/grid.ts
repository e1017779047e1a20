import { AlgorithmKind, SearchSpec, type AlgorithmSpec } from "../../shared/proto/lathe/v1/spec";
import { isMapping, type SpecFields } from "../../shared/spec/parse";
import { ALGORITHMS, type Experiment } from "./definition";

/** One search of a grid: where it stands on each axis that the experiment has, and its spec. */
export interface Cell {
  /** The name of its folder, such as "no-ssr-darts-t0.4-s2": only axes that the experiment has are in it. */
  name: string;
  variant: string | undefined;
  spec: SearchSpec;
}

/**
 * The product of an experiment's axes. Seeds vary slowest, so that a grid that is cut short has seen each of its other points
 * as often as the next, give or take one.
 */
export function cellsOf({ name, base, algorithms, seeds, targets, variants }: Experiment): Cell[] {
  return axis(seeds).flatMap((seed) =>
    axis(Object.keys(variants)).flatMap((variant) =>
      axis(algorithms).flatMap((algorithm) =>
        axis(targets).map((target) => {
          const laid = overlay(base, variant === undefined ? {} : (variants[variant] ?? {}));
          const parts = [variant, algorithm, target && `t${target}`, seed === undefined ? undefined : `s${seed}`];
          const cell = parts.filter((part) => part !== undefined).join("-") || "base";
          const fields = overlay(laid, {
            ...(seed !== undefined && { seed }),
            ...(target !== undefined && { cost: { target } }),
            labels: { experiment: name, cell, ...(variant !== undefined && { variant }) },
          });
          const spec = SearchSpec.fromJSON(fields);
          if (algorithm !== undefined) spec.algorithm = algorithmSpec(algorithm, spec);
          spec.labels.algorithm = algorithm ?? algorithmName(spec.algorithm?.kind);
          return { name: cell, variant, spec };
        }),
      ),
    ),
  );
}

/** An algorithm of the axis. The network that a base gives is there for the cells that train it. */
function algorithmSpec(name: string, { algorithm }: SearchSpec): AlgorithmSpec {
  const kind = ALGORITHMS.get(name) ?? AlgorithmKind.UNRECOGNIZED;
  return { kind, genotype: kind === AlgorithmKind.ALGORITHM_KIND_FIXED ? algorithm?.genotype : undefined };
}

/** The short name of an algorithm; of none, the one that a spec gets then. */
export function algorithmName(kind: AlgorithmKind | undefined): string {
  const wanted = kind || AlgorithmKind.ALGORITHM_KIND_SSR;
  return [...ALGORITHMS].find(([, one]) => one === wanted)?.[0] ?? "unknown";
}

/** The values of an axis; one that the experiment does not have leaves the spec as it is. */
function axis<T>(values: readonly T[]): readonly (T | undefined)[] {
  return values.length === 0 ? [undefined] : values;
}

/** A partial spec over another: sections field by field, everything else (lists too) as a whole. */
export function overlay(base: SpecFields, over: SpecFields): SpecFields {
  const merged: SpecFields = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const under = merged[key];
    merged[key] = isMapping(under) && isMapping(value) ? overlay(under, value) : value;
  }
  return merged;
}

/** Whether a cell is meant by a pattern of --only: names separated by commas, "*" for any text. */
export function isMeant(cell: string, pattern: string): boolean {
  return pattern.split(",").some((part) => {
    const escaped = part
      .trim()
      .split("*")
      .map((text) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${escaped.join(".*")}$`).test(cell);
  });
}
