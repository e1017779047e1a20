import { SearchState, type Search, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { enumWord } from "../../shared/spec/bounds";
import { keptOf } from "../exit";
import { eventsOf } from "../search/events";
import { hasKept } from "../search/kept";
import { measurementsOf } from "../search/resultTable";
import { genotypeLine, percent } from "../view/format";
import { dataParts } from "./data";
import { Html, html, section, table } from "./html";
import { networkPicture } from "./network";
import { conditionTable, latencyTable, provenanceTable, specAndFiles } from "./origin";
import { classTable, confusionTable, legend, type ClassConfusion } from "./scores";
import { spaceParts } from "./space";
import { STYLE } from "./style";
import { trainingCharts } from "./training";

/** What a report is made from. */
export interface Reported {
  search: Search;
  /** The events of the search in their order. */
  events: readonly WatchSearchResponse[];
  /** PNG files with image, label and prediction side by side. */
  sheets: readonly Uint8Array[];
  confusion?: ClassConfusion | undefined;
}

/** Figures that stand at the top of a report, by their key in result.json. */
const leading = ["retrainedMiou", "discreteMiou", "discretizationGap", "figures", "latency"];

/** The report of a search as one HTML page: no script, no request, light and dark. A search that has not ended has what there is so far. */
export function page({ search, events, sheets, confusion }: Reported): string {
  const { id, spec, space, result } = search;
  const name = spec?.labels.name ?? id;
  const target = spec?.cost?.weight ? result?.costTarget || (spec.cost.target ?? 0) : 0;
  const scores = result?.classScores ?? [];
  const body = html`<main>
    <h1>${name}</h1>
    <p class="soft">${standing(search)}</p>
    ${summary(search)} ${section("network", "The network", result?.genotype && networkPicture(result.genotype))}
    ${section("space", "How the space shrank", ...spaceParts(space, result?.genotype, events))}
    ${section("training", "Training", trainingCharts(events, target))}
    ${section("cost", "Cost against target", costLine(search))} ${section("latency", "Latency", latencyTable(search))}
    ${section("classes", "Classes", classTable(scores, confusion), confusion && confusionTable(confusion))}
    ${section("predictions", "Predictions", sheets.length > 0 ? sheetList(sheets, confusion) : undefined)}
    ${section("data", "Data", ...dataParts(search, events, confusion))}
    ${section("course", "Conditions and alarms", conditionTable(search), alarms(events))}
    ${section("origin", "Where it comes from", provenanceTable(search), specAndFiles(search))}
  </main>`;
  return document(`${name}: report of search ${id}`, body);
}

function document(title: string, body: Html): string {
  const { text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `;
  return text;
}

const isFinished = (search: Search) => search.state === SearchState.SEARCH_STATE_SUCCEEDED || hasKept(search);

function standing(search: Search): string {
  const { id, state, spec, space, createdAt } = search;
  const kept = hasKept(search) ? `; kept: ${keptOf(search)?.message}` : "";
  const size = space && `, ${space.classes} classes at ${space.inputHeight}x${space.inputWidth}`;
  const at = createdAt ? `, created ${createdAt.toISOString()}` : "";
  return `Search ${id}: ${enumWord(SearchState, "SEARCH_STATE_", state)}${kept}. Preset ${spec?.preset ?? ""}${size ?? ""}${at}.`;
}

/** The measurements of a search that has a result, the leading ones as tiles. */
function summary(search: Search): Html | undefined {
  if (!isFinished(search) || !search.result) return undefined;
  const measured = measurementsOf(search.result).filter(({ label }) => label !== "");
  const tiles = measured.filter(({ key }) => leading.includes(key));
  const rows = measured.map(({ label, shown, measuredBy }) => [label, shown, measuredBy]);
  return html`<ul class="tiles">
      ${tiles.map(({ label, shown }) => html`<li>${label}<b>${shown}</b></li>`)}
    </ul>
    <section id="results">
      <h2>Results</h2>
      ${table("Results", ["figure", "value", "how"], rows)}
    </section>`;
}

function costLine({ result, spec }: Search): Html | undefined {
  if (!result?.genotype || !(result.costRatio > 0)) return undefined;
  const { costRatio, costTarget, costMiss } = result;
  const aimed = spec?.cost?.weight ? `; the target is ${percent(costTarget)}` : "; the search had no target";
  return html`<p>
      The network costs ${percent(costRatio)} of the largest network of its space${aimed}.${costMiss && ` ${costMiss}.`}
    </p>
    <p class="soft">${genotypeLine(result.genotype)}</p>`;
}

function sheetList(sheets: readonly Uint8Array[], confusion: ClassConfusion | undefined): Html {
  return html`<p class="soft">Validation images: image, label and prediction side by side.</p>
    ${confusion && legend(confusion)}
    <div class="sheets">
      ${sheets.map((png, index) => html`<img src="data:image/png;base64,${Buffer.from(png).toString("base64")}" alt="validation image ${index + 1}: image, label and prediction" />`)}
    </div>`;
}

function alarms(events: readonly WatchSearchResponse[]): Html | undefined {
  const rows = eventsOf(events, "healthAlarmRaised").map(({ kind, epoch, message }) => [
    enumWord(HealthAlarmKind, "HEALTH_ALARM_KIND_", kind).toUpperCase(),
    epoch,
    message,
  ]);
  return rows.length === 0 ? undefined : table("Alarms", ["alarm", "epoch", "message"], rows);
}
