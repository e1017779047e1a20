import { manifest, type Manifest, type ManifestEntry } from "../engine/parameters";
import { upTo } from "../engine/signature";

/** Consecutive elements of an axis that have one owner. */
interface Run {
  /** The owner: a decision group ("stage1/block2/d4s2/middle"), the output of a part ("stage1/block2") or another unit ("row"). */
  of: string;
  /** Indices of the present elements, ascending: channels from 0, or surviving candidates. */
  elements: readonly number[];
}

export type Axis = readonly Run[];

/** A layer of a network. Part and layer have the same names in every network of a space. */
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

/** The declared tensors of a network: weights, and running statistics of norms. */
export interface Declaration {
  weights: DeclaredTensor[];
  stats: DeclaredTensor[];
}

/** Declared tensors with their offsets in a flat vector. Checkpoints hold only the vector, so the order of a table must never change. */
export type TensorTable = Manifest<DeclaredTensor & ManifestEntry>;

export function tensorTable(tensors: readonly DeclaredTensor[]): TensorTable {
  return manifest(tensors.map((tensor) => ({ ...tensor, shape: tensor.axes.map(extent) })));
}

/** An axis of one run: the first `count` elements of an owner. */
export function axis(of: string, count: number): Axis {
  return [{ of, elements: upTo(count) }];
}

export function extent(runs: Axis): number {
  return runs.reduce((sum, { elements }) => sum + elements.length, 0);
}

/** Declares a filter [outputs, inputs, rows, columns]. A part with several tensors of one role gives each a name. */
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

export function declareNorm(
  { weights, stats }: Declaration,
  { part, layer, name = `${part}/${layer}` }: Layer & { name?: string },
  channels: Axis,
): void {
  const tensor = (kind: Role["kind"]) => ({ part, layer, kind, name: `${name}/${kind}`, axes: [channels] });
  weights.push(tensor("gamma"), tensor("beta"));
  stats.push(tensor("mean"), tensor("variance"));
}

/** A run of a tensor's first axis: the tensor, the row of the run's first element, and the run's elements. */
interface Rows {
  tensor: TensorTable["entries"][number];
  row: number;
  elements: readonly number[];
}

/** Returns a function that finds a run among the first axes of a table, by role and owner. It throws if there is no such run. */
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
