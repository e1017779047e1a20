import { LatheError, type FieldViolation } from "../process/errors";
import { Dimension, type Architecture, type OperationKind, type SearchSpace } from "../proto/lathe/v1/space";
import { indexGroups, liveGroups, operations } from "./groups";
import { HEAD_WIDTHS } from "./head";
import { KINDS, kindName, kindNames, kindOf } from "./kinds/kinds";

/** Upper bounds of a space or a network: beyond the memory of any device, below any overflow. */
export const MAX_SIDE = 8192;
export const MAX_CHANNELS = 4096;
export const MAX_DEPTH = 64;
/** Channels of each branch of a head's pyramid pooling. */
export const MAX_PYRAMID_CHANNELS = 1024;
export const MAX_DILATION = 64;
export const MAX_CLASSES = 254;
export const MAX_CANDIDATES = 32;
/** Entries of a list of kinds. */
export const MAX_KINDS = 8;
/** Candidate operations of a block, and candidates of any group of a request: no other has more. */
export const MAX_OPERATIONS = 64;
/** Stages of a space or a network: their outputs have 1/4 of the input's sides, 1/8, 1/16 and 1/32. */
export const STAGES = { least: 2, most: 4 };
/**
 * Candidates of a space over all its groups; preset paper has 3247. The event of an epoch lists them all and is one message of NATS, by
 * default at most 1 MiB.
 */
export const MAX_SPACE_CANDIDATES = 10_000;
/** A table of latencies measures a network for each, which takes some seconds. */
const MAX_HEADS = 64;
/** Violations in a message, and in the details of a status. The trailers of an HTTP/2 response (8 KB) cannot hold hundreds. */
const SHOWN = 16;
const CARRIED = 40;

/** Collects faults under a prefix of their paths. `between` adds one unless the value is an integer within bounds, and returns whether it is. */
export function collector(prefix: string) {
  const violations: FieldViolation[] = [];
  const fault = (field: string, description: string): void => {
    violations.push({ field: prefix + field, description });
  };
  const between = (field: string, value: number, min: number, max: number, why = ""): boolean => {
    const fits = Number.isInteger(value) && value >= min && value <= max;
    if (!fits) fault(field, `is ${value}, must be an integer between ${min} and ${max}${why}`);
    return fits;
  };
  return { violations, fault, between };
}

/** Every fault of a search space. Proto paths begin with the prefix ("space." in a spec). */
export function spaceViolations(space: SearchSpace, prefix = ""): FieldViolation[] {
  const { violations, fault, between } = collector(prefix);
  const ascending = (field: string, values: number[], max: number): void => {
    if (values.length === 0 || values.length > MAX_CANDIDATES)
      return fault(field, `has ${values.length} entries, must have between 1 and ${MAX_CANDIDATES}`);
    values.forEach((value, index) => {
      const before = values[index - 1] ?? 0;
      if (between(`${field}[${index}]`, value, 1, max) && value <= before)
        fault(`${field}[${index}]`, `is ${value}, must be above the entry before it, ${before}`);
    });
  };

  between("classes", space.classes, 2, MAX_CLASSES, " (255 is the ignore label)");
  between("stem_channels", space.stemChannels, 4, MAX_CHANNELS, " (3 of them are the pooled image)");
  between("pyramid_channels", space.pyramidChannels ?? 0, 0, MAX_PYRAMID_CHANNELS, " (0: the search head)");
  ascending("dilations", space.dilations, MAX_DILATION);
  const scales = firstOf(space.scales);
  if (scales !== "1" && scales !== "1, 2") fault("scales", `is [${scales}], must be [1] or [1, 2]`);
  if (space.kinds.length > MAX_KINDS)
    fault("kinds", `has ${space.kinds.length} entries, must have at most ${MAX_KINDS}`);
  else space.kinds.forEach((kind, index) => faultOfKind(space.kinds, kind, index, fault));
  const factor = inputFactor(space);
  for (const [field, value] of [
    ["input_height", space.inputHeight],
    ["input_width", space.inputWidth],
  ] as const)
    if (between(field, value, factor, MAX_SIDE) && value % factor !== 0)
      fault(field, `is ${value}, must be a multiple of ${factor}, which the stem, the stages and scale 2 divide it by`);

  checkStages(space.stages, fault);
  space.stages.slice(0, STAGES.most).forEach((stage, index) => {
    const at = `stages[${index}]`;
    const before = space.stages[index - 1]?.channels ?? space.stemChannels;
    if (between(`${at}.channels`, stage.channels, 1, MAX_CHANNELS) && stage.channels <= before)
      fault(`${at}.channels`, `is ${stage.channels}, must be above the ${before} channels that its reduction takes in`);
    between(`${at}.max_depth`, stage.maxDepth, 1, MAX_DEPTH);
    between(`${at}.min_depth`, stage.minDepth, 1, Math.max(1, stage.maxDepth), " (max_depth)");
    ascending(`${at}.widths`, stage.widths, MAX_CHANNELS);
    if (stage.widths.length > 0 && stage.widths.at(-1) !== stage.channels)
      fault(`${at}.widths`, `ends with ${stage.widths.at(-1)}, must end with the stage's channels, ${stage.channels}`);
    if (!(stage.dropout >= 0 && stage.dropout < 1))
      fault(`${at}.dropout`, `is ${stage.dropout}, must be at least 0 and below 1`);
  });
  if (violations.length > 0) return violations;
  violations.push(...headViolations(space, prefix));
  if (violations.length > 0) return violations;
  const perBlock = operations(space).length;
  if (perBlock > MAX_OPERATIONS)
    fault(
      "kinds",
      `give each block ${perBlock} operations with the dilations and scales, must give at most ${MAX_OPERATIONS}`,
    );
  const candidates = candidatesOf(space, perBlock);
  if (candidates > MAX_SPACE_CANDIDATES)
    fault("stages", `have ${candidates} candidates in all their groups, must have at most ${MAX_SPACE_CANDIDATES}`);
  return violations;
}

/** Faults of the searched widths of the head. The stages must be valid. */
function headViolations(space: SearchSpace, prefix: string): FieldViolation[] {
  const { violations, fault, between } = collector(prefix);
  for (const { id, candidates, least, full } of HEAD_WIDTHS) {
    const [field, widths, most] = [id.replace("head/", "head_widths."), candidates(space), full(space)];
    if (widths.length === 0) continue;
    if ((space.pyramidChannels ?? 0) === 0)
      fault(field, "is set, but the search head has no such width: set pyramid_channels, or leave it out");
    else if (widths.length > MAX_CANDIDATES)
      fault(field, `has ${widths.length} entries, must have at most ${MAX_CANDIDATES}`);
    else if (widths.at(-1) !== most) fault(field, `ends with ${widths.at(-1)}, must end with the full width, ${most}`);
    else
      widths.forEach((width, index) => {
        const before = widths[index - 1] ?? least - 1;
        if (between(`${field}[${index}]`, width, least, most) && width <= before)
          fault(`${field}[${index}]`, `is ${width}, must be above the entry before it, ${before}`);
      });
  }
  const heads = headCount(space);
  if (violations.length === 0 && heads > MAX_HEADS)
    fault("head_widths", `give ${heads} heads to measure, must give at most ${MAX_HEADS}: name fewer widths`);
  return violations;
}

/** Pairs of the joined width with each other width of the head: a table of latencies measures a network for each (headPoints in headTables.ts). */
function headCount(space: SearchSpace): number {
  const [joined, ...others] = HEAD_WIDTHS.map(({ candidates }) => Math.max(1, candidates(space).length));
  return (joined ?? 1) * others.reduce((sum, count) => sum + count - 1, 1);
}

type Fault = ReturnType<typeof collector>["fault"];

/** Faults the number of stages of a space or a genotype. */
export function checkStages(stages: readonly unknown[], fault: Fault): void {
  if (stages.length < STAGES.least || stages.length > STAGES.most)
    fault("stages", `has ${stages.length} entries, must have between ${STAGES.least} and ${STAGES.most}`);
}

function faultOfKind(kinds: readonly OperationKind[], kind: OperationKind, index: number, fault: Fault): void {
  if (!KINDS.some((one) => one.kind === kind)) fault(`kinds[${index}]`, `is ${kind}, must be one of ${kindNames()}`);
  else if (kinds.indexOf(kind) < index)
    fault(`kinds[${index}]`, `is ${kindName(kindOf({ kind }))}, which the list has already`);
}

interface InputSizes {
  scales: readonly number[];
  stages: readonly unknown[];
}

/** Height and width of the input are multiples of this: the stem and the stages halve it, and so does scale 2. */
export const inputFactor = ({ scales, stages }: InputSizes): number =>
  2 ** (Math.min(stages.length, STAGES.most) + 1) * (scales.includes(2) ? 2 : 1);

/** Candidates of a space over all its groups: depths, per block its operations, each with two groups of widths, and the widths of the head. */
function candidatesOf(space: SearchSpace, perBlock: number): number {
  const ofHead = HEAD_WIDTHS.reduce((total, { candidates }) => total + candidates(space).length, 0);
  return space.stages.reduce(
    (total, { minDepth, maxDepth, widths }) =>
      total + (maxDepth - minDepth + 1) + maxDepth * perBlock * (1 + 2 * widths.length),
    ofHead,
  );
}

/** Every fault of an architecture of a (valid) space: missing, orphaned or duplicate groups, unordered survivors, wrong alphas. */
function architectureViolations(space: SearchSpace, architecture: Architecture, name: string): FieldViolation[] {
  const { violations, fault: add } = collector(`${name}.`);
  if (architecture.groups.length > MAX_SPACE_CANDIDATES) {
    add("groups", `has ${architecture.groups.length} entries, must have at most ${MAX_SPACE_CANDIDATES}`);
    return violations;
  }
  const groups = indexGroups(architecture);
  const live = new Map(liveGroups(space, groups).map((entry) => [entry.id, entry]));
  for (const id of live.keys())
    if (!groups.has(id)) add(`groups["${id}"]`, "is missing, but it is live in this architecture");
  const seen = new Set<string>();
  for (const entry of architecture.groups) {
    const fault = (description: string) => add(`groups["${entry.id}"]`, description);
    const expected = live.get(entry.id);
    if (seen.has(entry.id)) fault("occurs twice");
    else if (expected === undefined)
      fault("is not a live group of this architecture: unknown, or removed with a group above it");
    else {
      if (entry.dimension !== expected.dimension)
        fault(`has dimension ${Dimension[entry.dimension]}, must be ${Dimension[expected.dimension]}`);
      const ordered = entry.survivors.every(
        (survivor, index) =>
          Number.isInteger(survivor) &&
          survivor > (entry.survivors[index - 1] ?? -1) &&
          survivor < expected.candidates.length,
      );
      if (entry.survivors.length === 0 || !ordered)
        fault(
          `has survivors [${firstOf(entry.survivors)}], must be one or more ascending indices below ${expected.candidates.length}`,
        );
      if (entry.alphas.length !== entry.survivors.length)
        fault(`has ${entry.alphas.length} alphas for ${entry.survivors.length} survivors`);
      const bad = entry.alphas.find((alpha) => !Number.isFinite(alpha));
      if (bad !== undefined) fault(`has the alpha ${bad}, must be finite`);
    }
    seen.add(entry.id);
  }
  return violations;
}

/** A list for a message. */
function firstOf(values: readonly number[]): string {
  return values.length <= SHOWN ? values.join(", ") : `${values.slice(0, SHOWN).join(", ")}, ... (${values.length})`;
}

/**
 * Throws INVALID_ARGUMENT (INVALID_ARCHITECTURE) with every fault of a space, or of an architecture of that space. `name` is that of the
 * architecture in the request.
 */
export function validateArchitecture(space: SearchSpace, architecture: Architecture, name = "architecture"): void {
  const inSpace = spaceViolations(space, "space.");
  const violations = inSpace.length > 0 ? inSpace : architectureViolations(space, architecture, name);
  refuse("INVALID_ARCHITECTURE", "architecture", violations);
}

/** Throws a refusal of `what` if there are violations. */
export function refuse(reason: string, what: string, violations: FieldViolation[]): void {
  if (violations.length > 0) throw refusal(reason, what, violations);
}

/** An INVALID_ARGUMENT error that lists the violations. `count` is their number where some are left out already. */
export function refusal(
  reason: string,
  what: string,
  violations: FieldViolation[],
  count = violations.length,
): LatheError {
  const shown = violations.slice(0, SHOWN).map(({ field, description }) => `${field} ${description}`);
  const more = count > SHOWN ? [`and ${count - SHOWN} more`] : [];
  const faults = count === 1 ? "1 fault" : `${count} faults`;
  return new LatheError("INVALID_ARGUMENT", `${what} has ${faults}: ${[...shown, ...more].join("; ")}`, {
    reason,
    violations: violations.slice(0, CARRIED),
  });
}
