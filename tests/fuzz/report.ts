import { fromBinary, toJsonString, type JsonWriteStringOptions } from "@bufbuild/protobuf";
import type { Fault, Findings } from "./findings";
import type { Rpc } from "./rpcs";

/** Bytes of a request that are printed. */
const PRINTED = 4096;

/** The findings as text: answers by rpc and status code, memory and health by service, and each fault with its request. */
export function reportText({ codes, memory, healthP99Ms, faults }: Findings, seed: number): string {
  const names = [...new Set([...codes.values()].flatMap((counts) => [...counts.keys()]))].sort();
  const answers = [...codes]
    .sort()
    .map(([rpc, counts]) => [rpc, ...names.map((name) => String(counts.get(name) ?? 0))]);
  const curves = [...memory].map(([name, samples]) => `  ${name}: ${samples.map((mib) => mib.toFixed(0)).join(" ")}`);
  const health = [...healthP99Ms].map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(", ");
  return [
    ...["", ...table(["rpc", ...names], answers)],
    ...["", "resident memory after each round, MiB", ...curves],
    ...["", `health check beside the calls, p99 in ms: ${health}`, ""],
    ...faults.flatMap((fault) => describe(fault, seed)),
    `seed ${seed}: ${faults.length === 0 ? "no fault" : `${faults.length} kinds of faults`}`,
  ].join("\n");
}

/** Aligned lines: the first column to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  "),
  );
}

function describe({ what, count, first }: Fault, seed: number): string[] {
  if (!first) return [`FAULT (${count} times): ${what}`, ""];
  const { call, request } = first;
  const hex = Buffer.from(request).toString("hex");
  return [
    `FAULT (${count} times) ${call.rpc.path}: ${what}`,
    `  first: call ${call.number} (${call.kind}, ${call.copies} at once); again: npm run fuzz -- --seed ${seed} --only ${call.number}`,
    `  request: ${jsonOf(call.rpc, request)}`,
    `  ${request.length} bytes: ${hex.slice(0, 2 * PRINTED)}${request.length > PRINTED ? "..." : ""}`,
    "",
  ];
}

function jsonOf({ input }: Rpc, request: Uint8Array): string {
  try {
    const options: Partial<JsonWriteStringOptions> = { useProtoFieldName: true };
    const text = toJsonString(input, fromBinary(input, request), options);
    return text.length <= PRINTED ? text : `${text.slice(0, PRINTED)}...`;
  } catch (error) {
    return `cannot be read as ${input.typeName}: ${(error as Error).message}`;
  }
}
