import { AlgorithmKind, SearchSpec, type AlgorithmSpec } from "../../shared/proto/lathe/v1/spec";
import { isMapping, type SpecFields } from "../../shared/spec/parse";
import { ALGORITHMS, type Experiment } from "./definition";

/** One search of a grid: its value on each axis of the experiment, and its spec. */
export interface Cell {
  /** The name of its folder, such as "no-ssr-darts-t0.4-s2", made of the axes of the experiment. */
  name: string;
  variant: string | undefined;
  spec: SearchSpec;
}

/** The Cartesian product of the axes. Seeds vary slowest, so an interrupted grid has nearly as many seeds at every point. */
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

/** The algorithm of a cell. The base's genotype is kept only in cells that train it. */
function algorithmSpec(name: string, { algorithm }: SearchSpec): AlgorithmSpec {
  const kind = ALGORITHMS.get(name) ?? AlgorithmKind.UNRECOGNIZED;
  return { kind, genotype: kind === AlgorithmKind.ALGORITHM_KIND_FIXED ? algorithm?.genotype : undefined };
}

/** The name of an algorithm; for an unspecified one, the name of the default. */
export function algorithmName(kind: AlgorithmKind | undefined): string {
  const wanted = kind || AlgorithmKind.ALGORITHM_KIND_SSR;
  return [...ALGORITHMS].find(([, one]) => one === wanted)?.[0] ?? "unknown";
}

/** The values of an axis; an omitted axis has the single value undefined, which leaves the spec unchanged. */
function axis<T>(values: readonly T[]): readonly (T | undefined)[] {
  return values.length === 0 ? [undefined] : values;
}

/** Overrides a spec by a partial one: sections field by field, all other values (also lists) as a whole. */
function overlay(base: SpecFields, over: SpecFields): SpecFields {
  const merged: SpecFields = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const under = merged[key];
    merged[key] = isMapping(under) && isMapping(value) ? overlay(under, value) : value;
  }
  return merged;
}

/** Whether a cell matches the pattern of --only: comma-separated names, in which "*" matches any text. */
export function isMeant(cell: string, pattern: string): boolean {
  return pattern.split(",").some((part) => {
    const escaped = part
      .trim()
      .split("*")
      .map((text) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${escaped.join(".*")}$`).test(cell);
  });
}
