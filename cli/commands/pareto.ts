import { statSync } from "node:fs";
import { parse, resolve } from "node:path";
import type { Command } from "commander";
import { candidateOf, candidateOfSearch, type Candidate } from "../../shared/comparison/candidate";
import { filtered } from "../../shared/comparison/filter";
import { frontsOf } from "../../shared/comparison/fronts";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { ListParetoFrontsRequest, ListParetoFrontsResponse } from "../../shared/proto/lathe/v1/search";
import type { ParetoFront } from "../../shared/proto/lathe/v1/pareto";
import { complain, print, printJson } from "../exit";
import { readSearches } from "../pareto/folders";
import { frontLines } from "../pareto/frontView";
import { datasetKindOf, datasetNames } from "../spec/datasetNames";
import { userFolder } from "../userFolder";
import { connectionOptions, withSearchService, type ConnectionFlags } from "./connection";
import { label, size, whole, writeOut } from "./options";

interface ParetoFlags extends ConnectionFlags {
  label?: Record<string, string>;
  fingerprint?: string;
  dataset?: string;
  data?: string;
  deviceClass?: string;
  device?: string;
  input?: [number, number];
  batch?: number;
  threads?: number;
  limit?: number;
  svg?: string;
}

/** `lathe pareto ...`: needs no stack for result folders alone. */
export function paretoCommand(program: Command): void {
  const command = program
    .command("pareto [searches...]")
    .description(
      "compare searches by mIoU and measured latency: ids of a search service, result folders, or folders of these; by default all ended searches of the service",
    )
    .option("--label <key=value>", "only searches with this label; repeatable", label)
    .option("--fingerprint <sha256>", "only searches of the data with this fingerprint")
    .option("--dataset <kind>", `only data sets of this kind: ${datasetNames.join(", ")}`)
    .option("--data <folder>", "only data sets of this folder")
    .option("--device-class <name>", "only latencies of this device class")
    .option("--device <model>", "only latencies of this model of processor or GPU")
    .option("--input <HxW>", "only latencies at this input size in pixels", size)
    .option("--batch <images>", "only latencies of this batch size", whole)
    .option("--threads <number>", "only latencies with this number of threads", whole)
    .option("--limit <number>", "number of searches that the service reads, the newest first, at most 1000", whole)
    .option("--svg <file>", "SVG file to write the plot to; a second front goes to <file>-2, and so on");
  connectionOptions(command).action(pareto);
}

async function pareto(searches: string[], flags: ParetoFlags): Promise<void> {
  const request = requestOf(flags);
  const folders = searches.filter(isFolder);
  const ids = searches.filter((name) => !isFolder(name));
  const odd = ids.find((id) => !/^[a-z0-9][a-z0-9-]{0,63}$/.test(id));
  if (odd !== undefined)
    throw new LatheError("INVALID_ARGUMENT", `"${odd}" is neither a folder nor the id of a search`);
  const found =
    folders.length === 0 ? await ofService(ids, request, flags) : await ofBoth(folders, ids, request, flags);
  const plotted = found.fronts.filter(({ points }) => points.length > 1);
  const written = flags.svg === undefined ? [] : writePlots(flags.svg, plotted);
  if (flags.svg !== undefined && plotted.length === 0) complain("no plot was written: no two searches can be compared");
  if (flags.json) return printJson(ListParetoFrontsResponse.toJSON(found));
  const { fronts, leftOut, omitted } = found;
  fronts.forEach((front, index) => print(...(index > 0 ? [""] : []), ...frontLines(front)));
  if (leftOut.length > 0) print(...(fronts.length > 0 ? [""] : []), "left out:");
  for (const { searchId, name, reason, message } of leftOut)
    print(`  ${searchId}${name && name !== searchId ? ` ${name}` : ""}  ${reason}: ${message}`);
  if (written.length > 0) print("", ...written);
  if (fronts.length === 0) complain("no searches found that can be compared");
  if (omitted > 0)
    complain(`${omitted} older searches were not read: --limit reads up to 1000, --label selects some of them`);
}

const isFolder = (name: string) =>
  statSync(resolve(userFolder(), name), { throwIfNoEntry: false })?.isDirectory() === true;

function requestOf(flags: ParetoFlags): ListParetoFrontsRequest {
  const { fingerprint, dataset, data, deviceClass, device, input, batch, threads, limit } = flags;
  const datasetKind = dataset === undefined ? DatasetKind.DATASET_KIND_UNSPECIFIED : datasetKindOf(dataset);
  if (datasetKind === undefined)
    throw new LatheError("INVALID_ARGUMENT", `--dataset is "${dataset}", must be one of ${datasetNames.join(", ")}`);
  return ListParetoFrontsRequest.fromPartial({
    ...{ labels: flags.label ?? {}, datasetSha256: fingerprint ?? "", datasetKind },
    ...{ datasetPath: data === undefined ? "" : resolve(userFolder(), data) },
    ...{
      deviceClass: deviceClass ?? "",
      device: device ?? "",
      inputHeight: input?.[0] ?? 0,
      inputWidth: input?.[1] ?? 0,
    },
    ...{ batchSize: batch ?? 0, threads: threads ?? 0, limit: limit ?? 0 },
  });
}

const ofService = (searchIds: string[], request: ListParetoFrontsRequest, flags: ParetoFlags) =>
  withSearchService(flags, (api, signal) => api.listParetoFronts({ ...request, searchIds }, { signal }));

/** Result folders, and searches of the service, by the functions that the service uses. A search that is in both counts once. */
async function ofBoth(
  folders: string[],
  ids: string[],
  request: ListParetoFrontsRequest,
  flags: ParetoFlags,
): Promise<ListParetoFrontsResponse> {
  const found = folders
    .flatMap((folder) => readSearches(resolve(userFolder(), folder)))
    .map((search) => ({ id: search.searchId, of: candidateOf(search) }));
  if (ids.length > 0)
    await withSearchService(flags, async (api, signal) => {
      for (const searchId of ids) {
        const { search } = await api.getSearch({ searchId }, { signal });
        if (search) found.push({ id: searchId, of: candidateOfSearch(search) });
      }
    });
  const candidates: Candidate[] = [];
  const out: ListParetoFrontsResponse["leftOut"] = [];
  for (const [, of] of new Map(found.map(({ id, of }) => [id, of]))) {
    const why = "leftOut" in of ? of.leftOut : filtered(of.candidate, request);
    if (why) out.push(why);
    else if ("candidate" in of) candidates.push(of.candidate);
  }
  return { fronts: frontsOf(candidates), leftOut: out, omitted: 0 };
}

/** Writes a plot for each front and returns the paths. */
function writePlots(file: string, fronts: readonly ParetoFront[]): string[] {
  // Loaded here alone, because ECharts takes longer to load than the command to run.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
  const { paretoPlot } = require("../plot/pareto") as typeof import("../plot/pareto");
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- as above
  const { svgOf } = require("../plot/svg") as typeof import("../plot/svg");
  const { dir, name, ext } = parse(file);
  return fronts.map((front, index) => {
    const own = index === 0 ? file : resolve(userFolder(), dir, `${name}-${index + 1}${ext}`);
    return writeOut(own, svgOf(paretoPlot(front, name))).path;
  });
}
