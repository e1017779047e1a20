import type { ClassScore } from "../../shared/proto/lathe/v1/result";
import { percent } from "../view/format";
import { html, table, type Html } from "./html";

/** The content of confusion.json: the classes of a data set, and pixels[label][prediction] over its validation split. */
export interface ClassConfusion {
  classes: readonly { name: string; color: readonly number[] }[];
  pixels: readonly (readonly number[])[];
}

/** More classes than this make a matrix that nobody reads. */
const MAX_MATRIX = 40;

/** The colour of a class as CSS, from numbers alone; undefined where there is none. */
function colourOf(color: readonly number[] | undefined): string | undefined {
  if (color?.length !== 3) return undefined;
  return `rgb(${color.map(Number).join(",")})`;
}

/** A name behind a swatch of its colour, where it has one. */
export function named(name: string, color: readonly number[] | undefined): Html {
  const css = colourOf(color);
  return html`${css !== undefined && html`<span class="swatch" style="background:${css}"></span>`}${name}`;
}

/** The colours of a sheet of predictions, by class. */
export const legend = ({ classes }: ClassConfusion): Html =>
  html`<ul class="legend">
    ${classes.map(({ name, color }) => html`<li>${named(name, color)}</li>`)}
    <li>${named("ignored", [0, 0, 0])}</li>
  </ul>`;

/** IoU of each class as a bar. */
export function classTable(scores: readonly ClassScore[], confusion: ClassConfusion | undefined): Html | undefined {
  if (scores.length === 0) return undefined;
  const total = confusion?.pixels.flat().reduce((sum, count) => sum + count, 0) ?? 0;
  const labelled = (index: number) => confusion?.pixels[index]?.reduce((sum, count) => sum + count, 0) ?? 0;
  const rows = scores.map(({ name, iou, occurs }, index) => [
    named(name, confusion?.classes[index]?.color),
    occurs
      ? html`${percent(iou)}<span class="bar"><span style="width:${(100 * iou).toFixed(1)}%"></span></span>`
      : "does not occur",
    ...(total > 0 ? [percent(labelled(index) / total)] : []),
  ]);
  return table("IoU per class", ["class", "IoU", ...(total > 0 ? ["of the labelled pixels"] : [])], rows);
}

/** The confusion matrix: of the pixels labelled as the row, the share predicted as the column. */
export function confusionTable({ classes, pixels }: ClassConfusion): Html {
  if (classes.length > MAX_MATRIX)
    return html`<p>The confusion matrix of ${classes.length} classes is in confusion.json.</p>`;
  const rows = classes.map(({ name, color }, label) => {
    const row = pixels[label] ?? [];
    const labelled = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count) => (labelled === 0 ? undefined : count / labelled));
    return [named(name, color), ...cells.map(shareCell)];
  });
  return html`<h3>Confusion</h3>
    <p class="soft">
      Of the validation pixels labelled as the class of the row, the share (%) predicted as that of the column.
    </p>
    ${table("Confusion matrix", ["labelled as", ...classes.map(({ name }) => name)], rows)}`;
}

function shareCell(share: number | undefined): Html {
  if (share === undefined) return html`<span class="soft">–</span>`;
  const strength = Math.round(60 * share);
  return html`<span class="share" style="background:color-mix(in srgb, var(--accent) ${strength}%, transparent)"
    >${(100 * share).toFixed(1)}</span
  >`;
}
