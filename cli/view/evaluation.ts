import type { ShownEvaluation } from "../model/remote";
import { percent } from "./format";

const counted = ({ classes }: ShownEvaluation["scores"]) => classes.filter(({ occurs }) => occurs).length;

/** The scores as text. */
export function evaluationLines(model: string, { form, size, names, scores }: ShownEvaluation): string[] {
  const { miou, accuracy, images, predicted, classes } = scores;
  const wide = Math.max(...names.map((name) => name.length));
  const same = predicted.height === size.height && predicted.width === size.width;
  return [
    `${model}: input "${form.input}" ${form.type} ${form.layout}, output "${form.output}"`,
    `${images} validation images, compared at ${size.height}x${size.width}${same ? "" : `; class maps of ${predicted.height}x${predicted.width} were resized by nearest neighbour`}`,
    "",
    `  mIoU            ${percentTwo(miou)}, over ${counted(scores)} of ${classes.length} classes`,
    `  pixel accuracy  ${percentTwo(accuracy)}`,
    "",
    ...classes.map(({ iou, occurs }, at) => {
      const shown = occurs ? percent(iou) : "neither in labels nor in predictions";
      return `  ${(names[at] ?? String(at)).padEnd(wide)}  ${shown}`;
    }),
  ];
}

const percentTwo = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** The scores as JSON, with the confusion matrix: pixels by label (rows) and prediction (columns). */
export function evaluationJson(
  model: string,
  { form, size, names, scores, dataChange }: ShownEvaluation,
): Record<string, unknown> {
  const { miou, accuracy, images, predicted, classes, confusion } = scores;
  return {
    model,
    form,
    images,
    comparedAt: size,
    predictedAt: predicted,
    miou,
    classesCounted: counted(scores),
    pixelAccuracy: accuracy,
    classes: classes.map((score, at) => ({ name: names[at] ?? String(at), ...score })),
    confusion,
    ...(dataChange !== undefined && { dataChange }),
  };
}
