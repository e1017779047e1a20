import { Dimension, type Genotype } from "../../shared/proto/lathe/v1/space";
import { RemovalReason, type LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { HEAD_WIDTHS, PYRAMID, type Head } from "../../shared/space/head";
import { headLines, widthTexts } from "../../shared/space/genotype";
import { operationName } from "../../shared/space/parts";

/** 0.4123 -> "41.2 %". */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** A mIoU with the number of classes that it is the mean over. Events of earlier versions have no number, 0. */
export const overClasses = (miou: number, classes: number): string =>
  `${percent(miou)}${classes > 0 ? ` over ${classes} ${classes === 1 ? "class" : "classes"}` : ""}`;

/** 0.0123 -> "12.30 ms". */
export const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(2)} ms`;

/** Frames per second with all on which they depend: "34.2 FPS at batch 1, 240x320, 2 threads, fp32 on <processor>". */
export function framesPerSecond(latency: LatencyFigures): string {
  const { batchSize, inputHeight, inputWidth, threads, precision, device } = latency;
  const how = `batch ${batchSize}, ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}, ${precision}`;
  return `${latency.framesPerSecond.toFixed(1)} FPS at ${how} on ${device}`;
}

/** 75 -> "1m15s"; below ten seconds with one decimal. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, "0");
  if (hours > 0) return `${hours}h${String(minutes).padStart(2, "0")}m`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${whole}s`;
}

/** 1234567 -> "1.23 M". */
export function quantity(value: number): string {
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ] as const)
    if (value >= size) return `${(value / size).toFixed(2)} ${unit}`;
  return String(Math.round(value * 100) / 100);
}

export const dimensionNames: Readonly<Record<number, string>> = {
  [Dimension.DIMENSION_DEPTH]: "depth",
  [Dimension.DIMENSION_OPERATION]: "operation",
  [Dimension.DIMENSION_OUTPUT_WIDTH]: "output width",
  [Dimension.DIMENSION_MIDDLE_WIDTH]: "middle width",
};

export const removalReasons: Readonly<Record<number, string>> = {
  [RemovalReason.REMOVAL_REASON_THRESHOLD]: "below the threshold",
  [RemovalReason.REMOVAL_REASON_PARENT]: "its parent was removed",
  [RemovalReason.REMOVAL_REASON_BUDGET]: "argmax at the end of the budget",
};

/** "search head", "aggregation head with a pyramid of 16 channels", "aggregation head without a pyramid, joined width 32, detail width 8" */
export function headText(head: Head, genotype: Partial<Genotype> = {}): string {
  if (head.kind === "search") return "search head";
  const channels = genotype.pyramidWidth ?? head.pyramidChannels;
  const pyramid = channels > 0 ? `with a pyramid of ${channels} channels` : "without a pyramid";
  const others = HEAD_WIDTHS.filter((width) => width !== PYRAMID);
  return [`aggregation head ${pyramid}`, ...widthTexts(genotype, others)].join(", ");
}

/** When an alarm was raised: by an epoch, or by the labels before the first. */
export const alarmTime = (epoch: number): string => (epoch > 0 ? `at epoch ${epoch}` : "before the first epoch");

/** The effect of an alarm by its policy; none for alarms that are only reported. */
export const alarmEffects: Readonly<Record<number, string>> = {
  [HealthPolicy.HEALTH_POLICY_PAUSE]: "the search is paused",
  [HealthPolicy.HEALTH_POLICY_FAIL]: "the search fails",
  [HealthPolicy.HEALTH_POLICY_STOP]: "the training of the supernet ends",
};

/** "d4s2 12/16, d1s1 16/16 | d2s1 24/32": operation and middle/output width of each block, by stage; then the widths of the head that are not full. */
export const genotypeLine = (genotype: Genotype): string => {
  const stages = genotype.stages.map(({ blocks }) =>
    blocks.map((block) => `${operationName(block)} ${block.middleWidth}/${block.outputWidth}`).join(", "),
  );
  return [...stages, ...headLines(genotype)].join(" | ");
};
