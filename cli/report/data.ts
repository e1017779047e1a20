import { HealthAlarmKind, type SplitFigures } from "../../shared/proto/lathe/v1/result";
import type { Search, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { enumWord } from "../../shared/spec/bounds";
import { eventsOf } from "../search/events";
import { percent, quantity } from "../view/format";
import { html, table, type Html } from "./html";
import { facts } from "./origin";
import { named, type ClassConfusion } from "./scores";

/** The data set: what the spec names, what the first epoch read of it, and what its labels or a change give reason to warn of. */
export function dataParts(
  search: Search,
  events: readonly WatchSearchResponse[],
  confusion: ClassConfusion | undefined,
): (Html | undefined)[] {
  const { dataset } = search.result ?? {};
  return [
    dataTable(search),
    dataset && splitTable(dataset.train, dataset.validation),
    dataset && shareTable(dataset.classes, [dataset.train, dataset.validation], confusion),
    warnings(search, events),
  ];
}

/** The data set as far as the spec names it. */
function dataTable({ spec, space, result }: Search): Html | undefined {
  const { dataset } = spec ?? {};
  if (!dataset) return undefined;
  // Once the data has been read, the table of the splits has the numbers.
  const asked = (count: number | undefined) => (count && !result?.dataset ? `${count} examples` : undefined);
  const classes = result?.dataset?.classes ?? result?.classScores.map(({ name }) => name) ?? [];
  return facts("Data", [
    ["kind", enumWord(DatasetKind, "DATASET_KIND_", dataset.kind)],
    ["folder", dataset.path],
    ["training split", asked(dataset.trainExamples)],
    ["validation split", asked(dataset.validationExamples)],
    ["read at", space && `${space.inputHeight}x${space.inputWidth}`],
    ["classes", classes.length > 0 ? classes.join(", ") : space?.classes],
    ["fingerprint", result?.dataset?.sha256],
  ]);
}

const labelledOf = ({ pixels }: SplitFigures): number => pixels.reduce((sum, count) => sum + count, 0);

function splitTable(...splits: (SplitFigures | undefined)[]): Html {
  const rows = splits.flatMap((split, index) => {
    if (!split) return [];
    const { examples, ignoredPixels, sizes } = split;
    const all = labelledOf(split) + ignoredPixels;
    const files = sizes.map(({ width, height, images }) => `${width}x${height} (${images})`).join(", ");
    const ignored = percent(ignoredPixels / Math.max(1, all));
    return [[index === 0 ? "training" : "validation", examples, quantity(all), ignored, files || "generated"]];
  });
  return html`<h3>Splits</h3>
    ${table("Splits", ["split", "examples", "pixels", "ignored", "sizes of the files, width x height"], rows)}`;
}

/** The share of each class of the labelled pixels of both splits, as bars. */
function shareTable(
  classes: readonly string[],
  splits: readonly (SplitFigures | undefined)[],
  confusion: ClassConfusion | undefined,
): Html {
  const rows = classes.map((name, index) => [
    named(name, confusion?.classes[index]?.color),
    ...splits.map((split) => (split ? shareBar(split.pixels[index] ?? 0, labelledOf(split)) : "")),
  ]);
  return html`<h3>Classes of the labels</h3>
    <p class="soft">Share of the labelled pixels of a split, counted at the size at which the data is read.</p>
    ${table("Classes of the labels", ["class", "training", "validation"], rows)}`;
}

function shareBar(pixels: number, labelled: number): Html | string {
  if (pixels === 0) return "no pixel";
  const share = pixels / labelled;
  // A class of few pixels is not the same as one without.
  const shown = share < 0.0005 ? "below 0.1 %" : percent(share);
  return html`${shown}<span class="bar"><span style="width:${(100 * share).toFixed(1)}%"></span></span>`;
}

/** What the labels gave reason to warn of, and what changed in the data. */
function warnings({ result }: Search, events: readonly WatchSearchResponse[]): Html | undefined {
  const labels = eventsOf(events, "healthAlarmRaised").filter(
    ({ kind }) => kind === HealthAlarmKind.HEALTH_ALARM_KIND_LABELS,
  );
  const all = [...labels.map(({ message }) => message), ...(result?.dataChange ? [result.dataChange] : [])];
  if (all.length === 0) return undefined;
  return html`<h3>Warnings</h3>
    <ul>
      ${all.map((message) => html`<li>${message}</li>`)}
    </ul>`;
}
