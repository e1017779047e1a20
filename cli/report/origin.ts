import { stringify } from "yaml";
import type { CpuFigures, GpuFigures } from "../../shared/proto/lathe/v1/result";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { ConditionStatus, type Search } from "../../shared/proto/lathe/v1/search";
import { framesPerSecond, milliseconds } from "../view/format";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { folded, html, table, type Html } from "./html";

type Fact = readonly [name: string, value: string | number | undefined];

/** Facts as a table, without those that are not known. */
export function facts(caption: string, list: readonly Fact[]): Html | undefined {
  const known = list.filter(([, value]) => value !== undefined && value !== "");
  return known.length === 0 ? undefined : table(caption, [], known);
}

/** Figures of earlier versions have no interval, and those of fewer than 6 runs. */
const interval = ({ p50LowSeconds, p50HighSeconds }: LatencyFigures): string =>
  p50HighSeconds > 0 ? `${milliseconds(p50LowSeconds)} to ${milliseconds(p50HighSeconds)}` : "";

/** The latency of the network with the conditions of its measurement. */
export function latencyTable({ result }: Search): Html | undefined {
  const { latency } = result ?? {};
  if (!latency) return undefined;
  const { device, deviceClass, runtime, precision, batchSize, inputHeight, inputWidth, threads, runs, measuredOn } =
    latency;
  return facts("Latency", [
    ["p50 / p95 / p99", [latency.p50Seconds, latency.p95Seconds, latency.p99Seconds].map(milliseconds).join(" / ")],
    ["95 % interval of p50", interval(latency)],
    ["mean", milliseconds(latency.meanSeconds)],
    ["frames per second", framesPerSecond(latency)],
    ["unstable", latency.unstableBecause.join("; ")],
    ["device", `${device} (class ${deviceClass})`],
    ["runtime", `${runtime}, ${precision}`],
    ["input", `batch ${batchSize}, ${inputHeight}x${inputWidth}`],
    ["threads", threads],
    ["timed runs", runs],
    ["processor", measuredOn?.cpu && processorLine(measuredOn.cpu)],
    ["GPU", measuredOn?.gpu && gpuLine(measuredOn.gpu)],
    ["key of the device", measuredOn?.key],
  ]);
}

/** A processor in words, as far as the system describes it. */
function processorLine({ model, features, cores, quotaCores, governor, turbo, mhz }: CpuFigures): string {
  const told = [
    model,
    `${cores} logical ${cores === 1 ? "core" : "cores"}`,
    quotaCores > 0 && `quota ${quotaCores} cores`,
    features.join(" "),
    governor && `governor ${governor}`,
    turbo && `turbo ${turbo}`,
    mhz > 0 && `${Math.round(mhz)} MHz`,
  ];
  return told.filter(Boolean).join(", ");
}

function gpuLine({ model, sharing, powerWatts, powerLimitWatts, performanceState }: GpuFigures): string {
  const told = [model, sharing, powerLimitWatts > 0 && `${powerWatts} W of ${powerLimitWatts} W`, performanceState];
  return told.filter(Boolean).join(", ");
}

/** The conditions of a search, such as a cost target that was missed or an alarm. */
export function conditionTable({ conditions }: Search): Html | undefined {
  if (conditions.length === 0) return undefined;
  const rows = conditions.map(({ type, status, reason, message }) => [
    type,
    status === ConditionStatus.CONDITION_STATUS_TRUE ? "true" : "false",
    message || reason,
  ]);
  return table("Conditions", ["condition", "status", "message"], rows);
}

/** Seed, versions and times. */
export function provenanceTable({ id, spec, result, createdAt, resumptions }: Search): Html | undefined {
  const { provenance } = result ?? {};
  return facts("Provenance", [
    ["search", id],
    ["seed", provenance?.seed ?? spec?.seed],
    ["Lathe", provenance?.latheVersion],
    ["engine", provenance?.engine],
    ["Node", provenance?.nodeVersion],
    ["platform", provenance?.platform],
    ["processor of the search service", provenance?.cpu],
    ["SHA-256 of the spec", provenance?.specSha256],
    ["fingerprint of the data", provenance?.datasetSha256 || result?.dataset?.sha256],
    ["created", (provenance?.startedAt ?? createdAt)?.toISOString()],
    ["last event", provenance?.finishedAt?.toISOString()],
    ["resumed", resumptions > 0 ? `${resumptions} times` : undefined],
  ]);
}

/** The spec with every default filled in, and the files of the search. */
export function specAndFiles({ spec, artifacts }: Search): Html {
  const files = artifacts.map(({ kind, sizeBytes, sha256 }) => [kind, sizeBytes, sha256]);
  return html`${spec && folded("the spec with every default", html`<pre>${stringify(SearchSpec.toJSON(spec))}</pre>`)}
  ${files.length > 0 && folded("files of the search", table("Files of the search", ["file", "bytes", "SHA-256"], files))}`;
}
