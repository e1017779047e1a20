import { deflateSync, crc32 } from "node:zlib";
import { RemovalReason, SearchResult } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, Search, SearchState, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { largestGenotype } from "../../shared/space/genotype";
import { initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { describedSpec } from "../spec/specFlags";
import type { Reported } from "./page";

type Event = Parameters<typeof WatchSearchResponse.fromPartial>[0]["event"];

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** A grey PNG of one pixel. */
export const dot = Buffer.concat([
  Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
  chunk("IHDR", Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])),
  chunk("IDAT", deflateSync(Buffer.from([0, 128]))),
  chunk("IEND", Buffer.alloc(0)),
]);

/** A small search with every part that a report shows. `text` stands wherever a user's text may be. */
export function reported(text = "plain"): Reported {
  const { resolved, space } = describedSpec({ preset: "tiny", name: text });
  const architecture = initialArchitecture(space);
  const groups = architecture.groups.map((group) =>
    group.id === "stage1/depth" ? { ...group, survivors: [1], alphas: [0] } : group,
  );
  const removal = {
    ...{ group: "stage1/depth", dimension: groups[0]!.dimension, candidate: 0, value: "1", probability: 0.04 },
    ...{ maxProbability: 0.96, reason: RemovalReason.REMOVAL_REASON_THRESHOLD },
  };
  const metrics = { epochs: 2, weightLoss: 1.5, alphaLoss: 1, validationLoss: 1.4, expectedCostRatio: 0.7 };
  const events: Event[] = [
    { $case: "epochCompleted", value: { metrics: { ...metrics, epoch: 1, validationMiou: 0.2 } } },
    { $case: "healthAlarmRaised", value: { kind: 10, epoch: 0, message: `class "${text}" has no pixel` } },
    { $case: "spaceKept", value: { epoch: 1 } },
    { $case: "healthAlarmRaised", value: { kind: 4, epoch: 2, message: text } },
    { $case: "epochCompleted", value: { metrics: { ...metrics, epoch: 2, validationMiou: 0.3 } } },
    {
      $case: "spaceShrunk",
      value: {
        ...{ epoch: 2, removals: [removal], architecture: { groups } },
        log10Space: log10Size(space, { groups }),
      },
    },
    // The second epoch is not evaluated.
    ...[1, 2, 3].map((epoch): Event => ({
      $case: "retrainingEpochCompleted",
      value: {
        ...{ epoch, epochs: 3, loss: 1 / epoch, bestMiou: epoch / 10 },
        ...(epoch !== 2 && { validationMiou: epoch / 10 }),
      },
    })),
  ];
  const classes = [text, ...Array.from({ length: 10 }, (_, index) => `class ${index + 2}`)];
  const result = SearchResult.fromPartial({
    ...{ genotype: largestGenotype(space), decidedBy: 1, convergedEpoch: 2, supernetMiou: 0.3, discreteMiou: 0.3 },
    ...{ retrainedMiou: 0.4, retrainedBestEpoch: 2, costRatio: 0.63, costTarget: 0.6, candidatesStart: 172 },
    figures: { params: 12345, macs: 2_500_000 },
    latency: { device: text, p50Seconds: 0.002, p95Seconds: 0.003, framesPerSecond: 500, runs: 50, threads: 1 },
    classScores: classes.map((name, index) => ({ name, iou: index / 20, occurs: index > 0 })),
    provenance: { latheVersion: "0.1.0", seed: 7, specSha256: "ab".repeat(32), datasetSha256: "ef".repeat(32) },
    dataset: {
      ...{ sha256: "ef".repeat(32), classes },
      train: {
        ...{ examples: 40, ignoredPixels: 100, sizes: [{ width: 480, height: 360, images: 40 }] },
        // The second class has half of the labelled pixels, the last one none.
        pixels: classes.map((_, index) => (index === 10 ? 0 : index === 1 ? 450 : 50)),
      },
      validation: { examples: 10, pixels: classes.map((_, index) => (index === 3 ? 1 : 10_000)), ignoredPixels: 0 },
    },
    dataChange: `training split: changed ${text}`,
  });
  const search = Search.fromPartial({
    ...{ id: "s-1", state: SearchState.SEARCH_STATE_SUCCEEDED, spec: resolved, space, result },
    conditions: [{ type: "Healthy", status: ConditionStatus.CONDITION_STATUS_FALSE, message: text }],
    artifacts: [{ kind: "network.onnx", object: "s-1/network.onnx", sizeBytes: 5, sha256: "cd".repeat(32) }],
  });
  const pixels = classes.map((_, label) =>
    classes.map((_, prediction) => (label === 0 ? 0 : label === prediction ? 3 : 1)),
  );
  return {
    search,
    events: events.map((event, index) =>
      WatchSearchResponse.fromPartial({ sequence: index + 1, ...(event && { event }) }),
    ),
    sheets: [dot],
    confusion: { classes: classes.map((name, index) => ({ name, color: [index, 100, 200] })), pixels },
  };
}
