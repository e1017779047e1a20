import { arch, cpus, platform } from "node:os";
import { onnxRuntimeVersion } from "../shared/engine/engine";
import { version } from "../shared/process/root";
import { summary, type Measurement, type Summary } from "./measurement";

/** The machine and software versions of the measurements. */
function provenance(measurements: readonly Measurement[]): { machine: string; versions: Record<string, string> } {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return {
    machine: `${cpus().length} x ${model}, ${platform()} ${arch()}`,
    versions: {
      lathe: version(),
      node: process.versions.node,
      onnxruntime: onnxRuntimeVersion(),
      ...Object.fromEntries(measurements.flatMap(({ versions = {} }) => Object.entries(versions))),
    },
  };
}

const summaries = (series: Record<string, number[]>) =>
  Object.fromEntries(
    Object.entries(series).flatMap(([name, values]) => (values.length > 0 ? [[name, summary(values)]] : [])),
  );

/** The measurements as JSON: summaries and all values. */
export function reportJson(name: string, measurements: readonly Measurement[]): string {
  return JSON.stringify({
    benchmark: name,
    ...provenance(measurements),
    measurements: measurements.map(({ versions: _, ...measurement }) => ({
      ...measurement,
      series: summaries(measurement.series),
      ratios: summaries(measurement.ratios ?? {}),
      values: { ...measurement.series, ...measurement.ratios },
    })),
  });
}

/** The measurements as text. */
export function reportText(measurements: readonly Measurement[]): string {
  const { machine, versions } = provenance(measurements);
  const names = Object.entries(versions).map(([name, text]) => `${name} ${text}`);
  const lines = [`${machine}; ${names.join(", ")}`];
  for (const { title, unit, series, ratios = {}, notes, table } of measurements) {
    lines.push("", title, ...Object.entries(notes).map(([key, value]) => `  ${key}: ${value}`));
    const rows = [
      ...Object.entries(summaries(series)).map(([name, row]) => summaryRow(`${name}, ${unit}`, row)),
      ...Object.entries(summaries(ratios)).map(([name, row]) => summaryRow(name, row)),
    ];
    if (rows.length > 0) lines.push(...columns([["", "n", "min", "p25", "median", "p75", "p95", "max"], ...rows]));
    if (table) lines.push(...columns([table.columns, ...table.rows.map((row) => row.map(String))]));
  }
  return lines.join("\n");
}

function summaryRow(name: string, { n, min, p25, median, p75, p95, max }: Summary): string[] {
  const digits = Math.abs(median) < 10 ? 3 : 1;
  return [name, String(n), ...[min, p25, median, p75, p95, max].map((value) => value.toFixed(digits))];
}

/** Aligns the cells of rows in columns; the first column is left-aligned. */
function columns(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length)));
  return rows.map((row) => {
    const cells = row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)));
    return `  ${cells.join("  ")}`;
  });
}
