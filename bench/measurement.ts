/** What a benchmark measured: named series in one unit. */
export interface Measurement {
  title: string;
  unit: "ms" | "MB";
  series: Record<string, number[]>;
  notes: Record<string, string | number>;
}
