import { LatheError } from "../../shared/process/errors";
import type { CandidateCost } from "../../shared/proto/lathe/v1/space";

/** A measured operator: products of its widths (their means over several blocks), and the seconds of one block. */
export interface OperatorSample {
  /** in * mid. */
  inMiddle: number;
  /** mid * out. */
  middleOut: number;
  seconds: number;
}

type OperatorCost = Pick<CandidateCost, "inMiddle" | "middleOut" | "fixed">;

interface OperatorFit extends OperatorCost {
  /** Mean over the samples of |fitted - measured| / measured. */
  relativeError: number;
}

const FEATURES = 3;

/**
 * Fits the non-negative coefficients of seconds = in_middle * in * mid + middle_out * mid * out + fixed (CandidateCost). They minimise
 * sum ((fitted - measured) / measured)^2, so small operators count as much as large ones. Each subset of non-zero coefficients is solved
 * exactly, and the best admissible solution is taken. INVALID_ARGUMENT if there are fewer than 3 samples or one is not positive.
 */
export function fitOperator(samples: readonly OperatorSample[]): OperatorFit {
  if (samples.length < FEATURES)
    throw new LatheError("INVALID_ARGUMENT", `${samples.length} samples fit no operator, at least ${FEATURES} do`);
  const bad = samples.find(({ seconds }) => !(seconds > 0 && Number.isFinite(seconds)));
  if (bad) throw new LatheError("INVALID_ARGUMENT", `an operator measured ${bad.seconds} s, must be above 0`);
  // Each row is divided by its measured time, so every target is 1. Each column is divided by its largest entry, for conditioning.
  const rows = samples.map(({ inMiddle, middleOut, seconds }) =>
    [inMiddle, middleOut, 1].map((feature) => feature / seconds),
  );
  const scales = Array.from({ length: FEATURES }, (_, f) => Math.max(...rows.map((row) => row[f] ?? 0)) || 1);
  const scaled = rows.map((row) => row.map((value, f) => value / (scales[f] ?? 1)));
  let best = { loss: Infinity, x: [0, 0, 0] };
  for (let mask = 1; mask < 2 ** FEATURES; mask++) {
    const active = [0, 1, 2].filter((f) => (mask >> f) % 2 === 1);
    const solution = leastSquares(scaled.map((row) => active.map((f) => row[f] ?? 0)));
    if (!solution || solution.some((value) => value < 0)) continue;
    const x = [0, 0, 0];
    active.forEach((f, i) => (x[f] = solution[i] ?? 0));
    const loss = scaled.reduce((sum, row) => sum + (dot(row, x) - 1) ** 2, 0);
    if (loss < best.loss) best = { loss, x };
  }
  const [inMiddle = 0, middleOut = 0, fixed = 0] = best.x.map((value, f) => value / (scales[f] ?? 1));
  const errors = scaled.map((row) => Math.abs(dot(row, best.x) - 1));
  const relativeError = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { inMiddle, middleOut, fixed, relativeError };
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

/** x that minimises |A x - 1|^2, by the normal equations; undefined if the columns are linearly dependent. */
function leastSquares(rows: readonly (readonly number[])[]): number[] | undefined {
  const n = rows[0]?.length ?? 0;
  const indices = Array.from({ length: n }, (_, i) => i);
  const at = (row: readonly number[], i: number) => row[i] ?? 0;
  // [A^T A | A^T 1]
  const system = indices.map((i) => [
    ...indices.map((j) => rows.reduce((sum, row) => sum + at(row, i) * at(row, j), 0)),
    rows.reduce((sum, row) => sum + at(row, i), 0),
  ]);
  for (const pivot of indices) {
    const chosen = indices
      .slice(pivot)
      .reduce((a, b) => (Math.abs(at(system[b] ?? [], pivot)) > Math.abs(at(system[a] ?? [], pivot)) ? b : a));
    [system[pivot], system[chosen]] = [system[chosen] ?? [], system[pivot] ?? []];
    const head = system[pivot] ?? [];
    if (Math.abs(at(head, pivot)) < 1e-12) return undefined;
    for (const other of indices) {
      if (other === pivot) continue;
      const factor = at(system[other] ?? [], pivot) / at(head, pivot);
      system[other] = (system[other] ?? []).map((value, column) => value - factor * at(head, column));
    }
  }
  return indices.map((i) => at(system[i] ?? [], n) / at(system[i] ?? [], i));
}
