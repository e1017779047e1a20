import type { FieldViolation } from "../../shared/process/errors";
import { AlgorithmKind } from "../../shared/proto/lathe/v1/spec";
import { refuse } from "../../shared/space/validate";
import { valuesOf, enumWord } from "../../shared/spec/bounds";
import { isMapping, readContent, readSpecFields, show, type SpecFields } from "../../shared/spec/parse";

/** The content of an experiment file: a base spec and the axes that vary it. An omitted axis has no values. */
export interface Experiment {
  name: string;
  base: SpecFields;
  algorithms: string[];
  seeds: number[];
  targets: number[];
  /** Partial specs that override the base, by name. */
  variants: Record<string, SpecFields>;
}

/** The algorithms by their names in specs. */
export const ALGORITHMS: ReadonlyMap<string, AlgorithmKind> = new Map(
  valuesOf(AlgorithmKind).map((kind) => [enumWord(AlgorithmKind, "ALGORITHM_KIND_", kind), kind]),
);

const keys = ["name", "base", "algorithms", "seeds", "targets", "variants"] as const;
/** Valid as a file name on every system, and short enough for a part of a cell's name. */
const namePattern = /^[a-z0-9][a-z0-9-]{0,30}$/;
/** The other entries of an experiment folder. */
const taken = ["nats", "logs", "run", "report"];
const named = "1 to 31 lower-case letters, digits and hyphens, no hyphen first";

/** Parses an experiment (YAML or JSON). INVALID_ARGUMENT lists unknown fields and wrong types; checkCells checks the values of specs. */
export function parseExperiment(text: string, source: string): Experiment {
  const content = readContent(text, source, "an experiment needs a name and a base");
  const violations: FieldViolation[] = [];
  const fault = (field: string, description: string) => violations.push({ field, description });
  const given = isMapping(content) ? content : {};
  if (!isMapping(content)) fault("(top level)", `is ${show(content)}, must be a mapping of ${keys.join(", ")}`);
  for (const key of Object.keys(given))
    if (!(keys as readonly string[]).includes(key))
      fault(key, `is ${show(given[key])}, but there is no such field; known: ${keys.join(", ")}`);

  const { name, base, algorithms, seeds, targets, variants } = given;
  if (typeof name !== "string" || !namePattern.test(name))
    fault("name", name === undefined ? `is not set, must be ${named}` : `is ${show(name)}, must be ${named}`);
  if (base === undefined || base === null) fault("base", 'is not set, must be a spec: at least "preset: tiny"');
  const list = <T>(axis: string, value: unknown, isMember: (entry: unknown) => entry is T, must: string): T[] => {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value) || value.length === 0) {
      fault(axis, `is ${show(value)}, must be a list of ${must}`);
      return [];
    }
    const entries = value as unknown[];
    entries.forEach((entry, index) => {
      if (!isMember(entry)) fault(`${axis}[${index}]`, `is ${show(entry)}, must be ${must}`);
      else if (entries.indexOf(entry) < index) fault(`${axis}[${index}]`, `is ${show(entry)}, which is a duplicate`);
    });
    return entries.filter(isMember);
  };
  const isAlgorithm = (entry: unknown): entry is string => typeof entry === "string" && ALGORITHMS.has(entry);
  const experiment: Experiment = {
    name: String(name),
    base: base === undefined || base === null ? {} : readSpecFields(base, "base", violations),
    algorithms: list("algorithms", algorithms, isAlgorithm, `one of ${[...ALGORITHMS.keys()].join(", ")}`),
    seeds: list("seeds", seeds, isWhole, "an integer from 0 on"),
    targets: list("targets", targets, isNumber, "a number above 0 and below 1"),
    variants: readVariants(variants, violations),
  };
  refuse("INVALID_EXPERIMENT", source, violations);
  return experiment;
}

const isWhole = (entry: unknown): entry is number => Number.isSafeInteger(entry) && (entry as number) >= 0;
const isNumber = (entry: unknown): entry is number => typeof entry === "number" && entry > 0 && entry < 1;

function readVariants(value: unknown, violations: FieldViolation[]): Record<string, SpecFields> {
  if (value === undefined || value === null) return {};
  if (!isMapping(value) || Object.keys(value).length === 0) {
    const description = `is ${show(value)}, must be a mapping of names to partial specs`;
    violations.push({ field: "variants", description });
    return {};
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, fields]) => {
      const path = `variants.${name}`;
      if (!namePattern.test(name)) violations.push({ field: path, description: `has a name that must be ${named}` });
      if (taken.includes(name))
        violations.push({ field: path, description: `has a name that must not be one of ${taken.join(", ")}` });
      // An empty variant is the base itself.
      return [name, fields === null ? {} : readSpecFields(fields, path, violations)];
    }),
  );
}
