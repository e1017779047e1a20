/** A point of a text plot. */
export interface Mark {
  x: number;
  y: number;
  /** One character. */
  mark: string;
}

interface Axes {
  /** Characters between the axes. */
  columns: number;
  rows: number;
  /** The text of a value at the end of an axis, with its unit. */
  x: (value: number) => string;
  y: (value: number) => string;
}

/** Points on axes of characters, from the smallest to the largest value. Where points fall together, the later mark is drawn. */
export function scatter(marks: readonly Mark[], { columns, rows, x, y }: Axes): string[] {
  const [left, right] = range(marks.map((one) => one.x));
  const [low, high] = range(marks.map((one) => one.y));
  const cells = Array.from({ length: rows }, () => new Array<string>(columns).fill(" "));
  for (const one of marks)
    cells[rows - 1 - cell(one.y, low, high, rows)]![cell(one.x, left, right, columns)] = one.mark;
  const ends = [y(high), y(low)];
  const width = Math.max(...ends.map(({ length }) => length));
  const lines = cells.map((line, row) => {
    const end = row === 0 ? ends[0]! : row === rows - 1 ? ends[1]! : "";
    return `${end.padStart(width)} |${line.join("")}`.trimEnd();
  });
  const [first, last] = [x(left), x(right)];
  const gap = " ".repeat(Math.max(2, columns - first.length - last.length));
  // Equal ends are one value, in the middle.
  const under = left === right ? first.padStart((columns + first.length) >> 1) : `${first}${gap}${last}`;
  return [...lines, `${" ".repeat(width)} +${"-".repeat(columns)}`, `${" ".repeat(width + 2)}${under}`];
}

function range(values: readonly number[]): [number, number] {
  return values.reduce(([min, max], value) => [Math.min(min, value), Math.max(max, value)], [Infinity, -Infinity]);
}

/** The cell of a value among `cells`; the middle one where all values are equal. */
function cell(value: number, min: number, max: number, cells: number): number {
  return min === max ? (cells - 1) >> 1 : Math.round(((value - min) / (max - min)) * (cells - 1));
}
