import { RemovalReason, type Removal } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { Dimension, type Architecture, type Genotype, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import { choicesOf } from "../../shared/space/genotype";
import { spaceGroups } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { dimensionNames, removalReasons } from "../view/format";
import { chart } from "./curves";
import { folded, html, table, type Html } from "./html";

/** A candidate that left the space after an epoch. */
interface Departure extends Removal {
  epoch: number;
}

/** The decisions of a search that removed candidates, and the sum of each dimension's candidates after them. */
interface Course {
  departures: Departure[];
  /** Candidates per dimension after each epoch; epoch 0 is the whole space. */
  left: { epoch: number; candidates: ReadonlyMap<Dimension, number>; log10: number }[];
}

const dimensions = [
  Dimension.DIMENSION_DEPTH,
  Dimension.DIMENSION_OPERATION,
  Dimension.DIMENSION_OUTPUT_WIDTH,
  Dimension.DIMENSION_MIDDLE_WIDTH,
] as const;

/** Names that a table lists at once; a width group of a removed operation is one of thousands. */
const NAMED = 24;

function candidatesOf(groups: readonly { dimension: Dimension; count: number }[]): Map<Dimension, number> {
  const sums = new Map<Dimension, number>(dimensions.map((dimension) => [dimension, 0]));
  for (const { dimension, count } of groups) sums.set(dimension, (sums.get(dimension) ?? 0) + count);
  return sums;
}

const survivorsOf = ({ groups }: Architecture) =>
  candidatesOf(groups.map(({ dimension, survivors }) => ({ dimension, count: survivors.length })));

function courseOf(space: SearchSpace, events: readonly WatchSearchResponse[]): Course {
  const all = spaceGroups(space).map(({ dimension, candidates }) => ({ dimension, count: candidates.length }));
  const course: Course = {
    departures: [],
    left: [{ epoch: 0, candidates: candidatesOf(all), log10: log10Size(space) }],
  };
  for (const { event } of events) {
    if (event?.$case === "spaceKept") course.left.push({ ...course.left.at(-1)!, epoch: event.value.epoch });
    if (event?.$case !== "spaceShrunk" || !event.value.architecture) continue;
    const { epoch, removals, architecture, log10Space } = event.value;
    course.departures.push(...removals.map((removal) => ({ ...removal, epoch })));
    course.left.push({ epoch, candidates: survivorsOf(architecture), log10: log10Space });
  }
  return course;
}

/** How the space shrank: curves, what left per dimension and epoch, and the groups of the network that was found. */
export function spaceParts(
  space: SearchSpace | undefined,
  genotype: Genotype | undefined,
  events: readonly WatchSearchResponse[],
): (Html | undefined)[] {
  if (!space) return [];
  const { departures, left } = courseOf(space, events);
  if (left.length === 1) return [];
  const start = left[0]!.candidates;
  const share = (dimension: Dimension) =>
    left.map(({ epoch, candidates }) => [epoch, (100 * candidates.get(dimension)!) / start.get(dimension)!] as const);
  const lines = dimensions.map((dimension) => ({ name: dimensionNames[dimension]!, points: share(dimension) }));
  const size = left.map(({ epoch, log10 }) => [epoch, log10] as const);
  return [
    html`<div class="charts">
      ${chart({ id: "candidates", title: "Candidates left", x: "epoch", y: "% of the start", lines, zero: true })}
      ${chart({ id: "networks", title: "Networks left", x: "epoch", y: "log10", lines: [{ name: "log10 of the networks", points: size }], zero: true })}
    </div>`,
    ...dimensions.map((dimension) => departuresOf(dimension, start.get(dimension)!, departures)),
    genotype && choicesTable(space, genotype, departures),
  ];
}

function departuresOf(dimension: Dimension, start: number, departures: readonly Departure[]): Html | undefined {
  const name = dimensionNames[dimension]!;
  const own = departures.filter((one) => one.dimension === dimension);
  if (own.length === 0) return undefined;
  const epochs = [...new Set(own.map(({ epoch }) => epoch))];
  const until = (last: number) => own.filter(({ epoch }) => epoch <= last).length;
  const rows = epochs.map((epoch) => {
    const now = own.filter((one) => one.epoch === epoch);
    return [epoch, now.length, start - until(epoch), namesOf(now)];
  });
  const summary = `${name}: ${own.length} of ${start} candidates left the space, after epochs ${epochs.join(", ")}`;
  return folded(summary, table(`What left: ${name}`, ["after epoch", "left the space", "remain", "which"], rows));
}

/** Candidates that left by their own probability, by group; those that left with their depth or operation are counted. */
function namesOf(departures: readonly Departure[]): string {
  const own = departures.filter(({ reason }) => reason !== RemovalReason.REMOVAL_REASON_PARENT);
  const groups = new Map<string, string[]>();
  for (const { group, value } of own) groups.set(group, [...(groups.get(group) ?? []), value]);
  const names = [...groups].map(([group, values]) => `${group}: ${values.join(", ")}`);
  const reasons = [...new Set(own.map(({ reason }) => removalReasons[reason] ?? ""))].filter(Boolean).join(", ");
  const more = names.length > NAMED ? `; ${names.length - NAMED} more groups` : "";
  const withParent = departures.length - own.length;
  return [
    ...(own.length > 0 ? [`${names.slice(0, NAMED).join("; ")}${more} (${reasons})`] : []),
    ...(withParent > 0 ? [`${withParent} with the depth or operation that they belong to`] : []),
  ].join("; ");
}

/** The groups that decide the network that was found: per candidate the epoch after which it left, and the chosen one. */
function choicesTable(space: SearchSpace, genotype: Genotype, departures: readonly Departure[]): Html {
  const chosen = choicesOf(space, genotype);
  const groups = spaceGroups(space).filter(({ id }) => chosen.has(id));
  const epochs = new Map(departures.map(({ group, candidate, epoch }) => [`${group} ${candidate}`, epoch]));
  const most = Math.max(...groups.map(({ candidates }) => candidates.length));
  const rows = groups.map(({ id, candidates }) => [
    id,
    ...Array.from({ length: most }, (_, index) => {
      const value = candidates[index];
      if (value === undefined) return "";
      if (chosen.get(id) === index) return html`<b>${value}, chosen</b>`;
      const epoch = epochs.get(`${id} ${index}`);
      return epoch === undefined ? value : `${value}, until ${epoch}`;
    }),
  ]);
  const heads = ["group", ...Array.from({ length: most }, (_, index) => `candidate ${index + 1}`)];
  return folded(
    "the groups that decide the network: each candidate with the epoch until which it stayed",
    table("The groups that decide the network", heads, rows),
  );
}
