import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { Dimension } from "../../shared/proto/lathe/v1/space";
import { PHASES } from "../../shared/spec/phases";

/** Writes history.jsonl (every event as proto3 JSON) and epochs.csv (a row per epoch of search and retraining). */
interface History {
  add(response: WatchSearchResponse): void;
}

export const HISTORY_FILES = ["epochs.csv", "history.jsonl"] as const;

const columns = [
  "phase",
  "epoch",
  "loss",
  "architecture_loss",
  "validation_loss",
  "validation_miou",
  "expected_cost_ratio",
  "ssr_factor",
  "learning_rate",
  "log10_space",
  "depth_candidates",
  "operation_candidates",
  "output_width_candidates",
  "middle_width_candidates",
  "seconds",
  "peak_memory_bytes",
] as const;

type Row = Partial<Record<(typeof columns)[number], string | number | undefined>>;

/** The row of an event that ends an epoch. */
function epochRow({ event }: WatchSearchResponse): Row | undefined {
  if (event?.$case === "retrainingEpochCompleted") {
    const { epoch, loss, validationMiou, seconds } = event.value;
    return { phase: PHASES.retrain.training, epoch, loss, validation_miou: validationMiou, seconds };
  }
  if (event?.$case === "samplingEpochCompleted") {
    const { epoch, loss, learningRate, seconds } = event.value;
    return { phase: PHASES.search.training, epoch, loss, learning_rate: learningRate, seconds };
  }
  if (event?.$case !== "epochCompleted" || !event.value.metrics) return undefined;
  const { metrics } = event.value;
  const candidates = (dimension: Dimension): number =>
    metrics.dimensions.find((one) => one.dimension === dimension)?.candidates ?? 0;
  return {
    phase: PHASES.search.training,
    epoch: metrics.epoch,
    loss: metrics.weightLoss,
    architecture_loss: metrics.alphaLoss,
    validation_loss: metrics.validationLoss,
    validation_miou: metrics.validationMiou,
    expected_cost_ratio: metrics.expectedCostRatio,
    ssr_factor: metrics.ssrFactor,
    learning_rate: metrics.learningRate,
    log10_space: metrics.log10Space,
    depth_candidates: candidates(Dimension.DIMENSION_DEPTH),
    operation_candidates: candidates(Dimension.DIMENSION_OPERATION),
    output_width_candidates: candidates(Dimension.DIMENSION_OUTPUT_WIDTH),
    middle_width_candidates: candidates(Dimension.DIMENSION_MIDDLE_WIDTH),
    seconds: metrics.seconds,
    peak_memory_bytes: metrics.peakMemoryBytes,
  };
}

/** Creates both files in a folder, replacing existing ones. */
export function openHistory(folder: string): History {
  const [epochs, events] = HISTORY_FILES.map((name) => join(folder, name)) as [string, string];
  writeFileSync(events, "");
  writeFileSync(epochs, `${columns.join(",")}\n`);
  return {
    add(response) {
      // Progress messages have sequence 0 and are not part of the history.
      if (response.sequence === 0) return;
      appendFileSync(events, `${JSON.stringify(WatchSearchResponse.toJSON(response))}\n`);
      const row = epochRow(response);
      if (row) appendFileSync(epochs, `${columns.map((column) => row[column] ?? "").join(",")}\n`);
    },
  };
}

/** The events of a history.jsonl. FAILED_PRECONDITION names the line that is none. */
export function readHistory(folder: string): WatchSearchResponse[] {
  const file = join(folder, "history.jsonl");
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line, index) => {
    if (line === "") return [];
    try {
      return [WatchSearchResponse.fromJSON(JSON.parse(line))];
    } catch (cause) {
      throw new LatheError("FAILED_PRECONDITION", `${file} line ${index + 1} is not an event`, {
        reason: "HISTORY_UNREADABLE",
        cause,
      });
    }
  });
}
