/** Confusion counts over a whole split: counts[label * classes + prediction]. Labels outside of 0..classes-1 are not counted. */
interface Confusion {
  classes: number;
  counts: Float64Array;
}

export interface Scores {
  /**
   * Mean IoU, 0 to 1, over the classes that occur in the labels; 0 if none occurs. A class that occurs in predictions alone lowers the IoU of
   * the classes that it was mistaken for. So the set of classes is that of the data, and two networks are compared over the same one.
   */
  miou: number;
  /** Number of classes that occur in the labels. */
  miouClasses: number;
  /** Share of counted pixels whose prediction is right. */
  accuracy: number;
  classes: { iou: number; occurs: boolean }[];
  /** The most frequently predicted class, with its share of the predictions and of the labels. */
  commonest: { class: number; predicted: number; labelled: number };
  /** Pixels as counts[label * classes + prediction]. */
  counts: Float64Array;
}

export function createConfusion(classes: number): Confusion {
  return { classes, counts: new Float64Array(classes * classes) };
}

/** Counts one batch. Labels and predictions have equal length; predictions are within 0..classes-1. */
export function count(confusion: Confusion, labels: ArrayLike<number>, predictions: ArrayLike<number>): void {
  const { classes, counts } = confusion;
  if (labels.length !== predictions.length)
    throw new Error(`${labels.length} labels against ${predictions.length} predictions`);
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at] ?? classes;
    if (label < 0 || label >= classes) continue;
    const cell = label * classes + (predictions[at] ?? 0);
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
}

/** Scores from one confusion matrix over the whole split (docs/method.md#after-the-search). */
export function scores({ classes, counts }: Confusion): Scores {
  const cell = (label: number, prediction: number) => counts[label * classes + prediction] ?? 0;
  let right = 0;
  let total = 0;
  const rows = Array.from({ length: classes }, (_, c) => {
    let labelled = 0;
    let predicted = 0;
    for (let other = 0; other < classes; other++) {
      labelled += cell(c, other);
      predicted += cell(other, c);
    }
    const both = cell(c, c);
    right += both;
    total += labelled;
    const union = labelled + predicted - both;
    return { iou: union > 0 ? both / union : 0, occurs: labelled > 0, predicted, labelled };
  });
  const most = Math.max(...rows.map(({ predicted }) => predicted));
  const commonest = rows.findIndex(({ predicted }) => predicted === most);
  const share = (pixels = 0) => (total > 0 ? pixels / total : 0);
  const occurring = rows.filter((row) => row.occurs);
  return {
    miou: occurring.length ? occurring.reduce((sum, row) => sum + row.iou, 0) / occurring.length : 0,
    miouClasses: occurring.length,
    accuracy: total > 0 ? right / total : 0,
    classes: rows.map(({ iou, occurs }) => ({ iou, occurs })),
    commonest: { class: commonest, predicted: share(most), labelled: share(rows[commonest]?.labelled) },
    counts,
  };
}
