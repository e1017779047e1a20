import { manifest, type Manifest, type ManifestEntry } from "../engine/parameters";
import { upTo } from "../engine/signature";

/** Elements that lie one behind the other along an axis. */
interface Run {
  /** Whose they are: a decision group's ("stage1/block2/d4s2/middle"), a part's output ("stage1/block2"), or what they count ("image", "row"). */
  of: string;
  /** The elements that are there, ascending: channels from 0 on, or surviving candidates. */
  elements: readonly number[];
}

export type Axis = readonly Run[];

/** A layer of a network; its part and layer are called the same in every network of a space. */
interface Layer {
  /** "stem", "stage1/reduction", "stage1/block2", "head" */
  part: string;
  /** "conv1", "norm2", "pyramid6/norm" */
  layer: string;
}

/** The role of a tensor in its layer. */
export interface Role extends Layer {
  kind: "filter" | "bias" | "gamma" | "beta" | "mean" | "variance" | "alpha";
}

/** A tensor as the builder of a network declares it. */
export interface DeclaredTensor extends Role {
  name: string;
  axes: readonly Axis[];
}

/** The tensors that the parts of a network declare: weights, and the running statistics of norms. */
export interface Declaration {
  weights: DeclaredTensor[];
  stats: DeclaredTensor[];
}

/** The declared tensors with their places in a flat vector. Checkpoints hold the vector alone, so the order of a table must never change. */
export type TensorTable = Manifest<DeclaredTensor & ManifestEntry>;

export function tensorTable(tensors: readonly DeclaredTensor[]): TensorTable {
  return manifest(tensors.map((tensor) => ({ ...tensor, shape: tensor.axes.map(extent) })));
}

/** An axis of one run, the first `count` elements. */
export function axis(of: string, count: number): Axis {
  return [{ of, elements: upTo(count) }];
}

export function extent(runs: Axis): number {
  return runs.reduce((sum, { elements }) => sum + elements.length, 0);
}

/** Declares a filter [outputs, inputs, rows, columns]. A name is given where a part has several tensors of one role. */
export function declareFilter(
  { weights }: Declaration,
  { part, layer, name = `${part}/${layer}` }: Layer & { name?: string },
  outputs: Axis,
  inputs: Axis,
  [rows, columns]: readonly [number, number],
): void {
  const axes = [outputs, inputs, axis("row", rows), axis("column", columns)];
  weights.push({ part, layer, kind: "filter", name, axes });
}

/** Declares a batch norm over channels. */
export function declareNorm(
  { weights, stats }: Declaration,
  { part, layer, name = `${part}/${layer}` }: Layer & { name?: string },
  channels: Axis,
): void {
  const tensor = (kind: Role["kind"]) => ({ part, layer, kind, name: `${name}/${kind}`, axes: [channels] });
  weights.push(tensor("gamma"), tensor("beta"));
  stats.push(tensor("mean"), tensor("variance"));
}

/** A run of a tensor's first axis: its tensor, and the row of the run's first element. */
interface Rows {
  tensor: TensorTable["entries"][number];
  row: number;
  elements: readonly number[];
}

/** Finds by role and owner a run among the first axes of a table; an error names what is not there. */
export function finder({ entries }: TensorTable): (role: Role, of: string) => Rows {
  const key = ({ part, layer, kind }: Role, of: string) => `${part} ${layer} ${kind} ${of}`;
  const found = new Map<string, Rows>();
  for (const tensor of entries) {
    let row = 0;
    for (const { of, elements } of tensor.axes[0] ?? []) {
      found.set(key(tensor, of), { tensor, row, elements });
      row += elements.length;
    }
  }
  return (role, of) => {
    const rows = found.get(key(role, of));
    if (!rows) throw new Error(`${role.part} has no ${role.layer} ${role.kind} of ${of}`);
    return rows;
  };
}
