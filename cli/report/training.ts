import type { EpochMetrics } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { eventsOf } from "../search/events";
import { chart } from "./curves";
import { html, type Html } from "./html";

/** The last event of each epoch: a resumed training may repeat one. */
const byEpoch = <T extends { epoch: number }>(list: readonly T[]): T[] => [
  ...new Map(list.map((one) => [one.epoch, one])).values(),
];

/** Losses, mIoU and cost by epoch, of the search and of retraining; undefined before the first epoch. */
export function trainingCharts(events: readonly WatchSearchResponse[], target: number): Html | undefined {
  const epochs = byEpoch(eventsOf(events, "epochCompleted").flatMap(({ metrics }) => metrics ?? []));
  const retraining = byEpoch(eventsOf(events, "retrainingEpochCompleted"));
  const sampling = byEpoch(eventsOf(events, "samplingEpochCompleted"));
  const candidates = eventsOf(events, "candidateEvaluated");
  const of = (pick: (metrics: EpochMetrics) => number) => epochs.map((one) => [one.epoch, pick(one)] as const);
  // Warm-up epochs have no alpha steps.
  const alpha = of(({ alphaLoss }) => alphaLoss).filter(([, loss]) => loss > 0);
  const ends = [epochs[0]?.epoch, epochs.at(-1)?.epoch].filter((epoch) => epoch !== undefined);
  const x = "epoch";
  const charts = [
    chart({
      ...{ id: "search-loss", title: "Losses in the search", x, y: "cross entropy" },
      lines: [
        { name: "weights", points: of(({ weightLoss }) => weightLoss) },
        { name: "alphas", points: alpha },
        { name: "validation", points: of(({ validationLoss }) => validationLoss) },
        { name: "training", points: sampling.map(({ epoch, loss }) => [epoch, loss]) },
      ],
    }),
    chart({
      ...{ id: "search-miou", title: "mIoU of the supernet", x, y: "validation mIoU (%)", zero: true },
      lines: [{ name: "supernet", points: of(({ validationMiou }) => 100 * validationMiou) }],
    }),
    chart({
      ...{ id: "cost", title: "Cost against target", x, y: "% of the largest network", zero: true },
      lines: [
        { name: "expected cost", points: of(({ expectedCostRatio }) => 100 * expectedCostRatio) },
        { name: "target", points: ends.map((epoch) => [epoch, 100 * target]), dashed: true },
      ],
    }),
    chart({
      ...{ id: "candidates-miou", title: "The networks evaluated", x: "cost (% of the largest network)" },
      ...{ y: "validation mIoU (%)", scattered: true },
      lines: [
        {
          name: "one network",
          points: candidates.map(({ costRatio, validationMiou }) => [100 * costRatio, 100 * validationMiou]),
        },
      ],
    }),
    chart({
      ...{ id: "retraining-loss", title: "Loss in retraining", x, y: "cross entropy", zero: true },
      lines: [{ name: "training", points: retraining.map(({ epoch, loss }) => [epoch, loss]) }],
    }),
    chart({
      ...{ id: "retraining-miou", title: "mIoU in retraining", x, y: "validation mIoU (%)", zero: true },
      lines: [
        {
          name: "network",
          points: retraining.flatMap(({ epoch, validationMiou: miou }) =>
            miou === undefined ? [] : [[epoch, 100 * miou]],
          ),
        },
        { name: "best so far", points: retraining.map(({ epoch, bestMiou }) => [epoch, 100 * bestMiou]), dashed: true },
      ],
    }),
  ].filter((drawn) => drawn !== undefined);
  return charts.length === 0 ? undefined : html`<div class="charts">${charts}</div>`;
}
