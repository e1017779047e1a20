import type { ModelTensor } from "../engine/model";
import type { IndexMap } from "../data/png";
import type { ModelForm } from "./form";
import { refused } from "./form";

const MAX_CLASSES = 255;

/**
 * The class of each cell of a model's output for one image: logits or probabilities [1,K,h,w] or [1,h,w,K], of which the largest counts
 * (the first of equal ones), or classes [1,h,w] or [1,1,h,w]. `classes` is the number that is expected, where that is known.
 */
export function classMap(tensor: ModelTensor, form: Pick<ModelForm, "output" | "layout">, classes?: number): IndexMap {
  const { dims, type } = tensor;
  const what = `the model's output "${form.output}" is ${type} [${dims.join(",")}]`;
  if (dims[0] !== 1) throw refused(`${what}: it must be for one image`);
  const floats = type.startsWith("float");
  if (floats && dims.length === 4) return largest(tensor, channelsAt(what, dims, form.layout, classes));
  const plane = dims.length === 3 ? dims.slice(1) : dims.length === 4 && dims[1] === 1 ? dims.slice(2) : undefined;
  if (floats || !plane)
    throw refused(`${what}: it must be float logits of four axes, or whole classes [1,h,w] or [1,1,h,w]`);
  const [height, width] = plane as [number, number];
  const most = classes ?? MAX_CLASSES;
  const data = Uint8Array.from({ length: height * width }, (_, at) => {
    const value = Number(tensor.data[at]);
    if (value >= 0 && value < most) return value;
    throw refused(`${what}: it has the class ${value}, must be 0 to ${most - 1}`);
  });
  return { data, height, width };
}

function channelsAt(what: string, dims: readonly number[], layout: "nchw" | "nhwc", classes?: number): 1 | 3 {
  const axes = layout === "nchw" ? ([1, 3] as const) : ([3, 1] as const);
  const axis = classes === undefined ? axes[0] : axes.find((each) => dims[each] === classes);
  if (axis === undefined) throw refused(`${what}: one axis must have the ${classes} classes`);
  const count = dims[axis] ?? 0;
  if (count >= 2 && count <= MAX_CLASSES) return axis;
  throw refused(`${what}: it has ${count} channels, must have 2 to ${MAX_CLASSES}, one for each class`);
}

function largest({ dims, data }: ModelTensor, axis: 1 | 3): IndexMap {
  const classes = dims[axis] ?? 0;
  const [height, width] = (axis === 1 ? dims.slice(2) : dims.slice(1, 3)) as [number, number];
  const cells = height * width;
  const [step, next] = axis === 1 ? [1, cells] : [classes, 1];
  const map = new Uint8Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    let best = 0;
    for (let c = 1; c < classes; c++) if (data[cell * step + c * next]! > data[cell * step + best * next]!) best = c;
    map[cell] = best;
  }
  return { data: map, height, width };
}
