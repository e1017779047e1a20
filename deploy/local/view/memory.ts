import type { MemoryEstimate } from "../../../services/supernet/memory";
import { gibibytes } from "../../../shared/engine/account";

/** In a line. */
export function memoryLine({ bytes, steps }: MemoryEstimate, machine: number): string {
  const parts = steps.map((step) => `${step.name} ${gibibytes(step.bytes)}`).join(", ");
  return `training the supernet needs about ${gibibytes(bytes)} (${parts}); this machine has ${gibibytes(machine)}`;
}

/** Step by step. */
export function memoryLines(preset: string, estimate: MemoryEstimate, machine: number): string[] {
  const row = (...cells: string[]) => `  ${(cells[0] ?? "").padEnd(12)}${cells.slice(1).map((cell) => cell.padStart(14)).join("")}`; // prettier-ignore
  return [
    `estimated memory of training the whole supernet of ${preset}, formulation ${estimate.formulation}`,
    row("", "activations", "constants", "inputs", "outputs", "together"),
    ...estimate.steps.map(({ name, activations, constants, inputs, outputs, bytes }) =>
      row(name, ...[activations, constants, inputs, outputs, bytes].map(gibibytes)),
    ),
    row("process", "", "", "", "", gibibytes(estimate.processBytes)),
    row("all", "", "", "", "", gibibytes(estimate.bytes)),
    `this machine has ${gibibytes(machine)}; decoded images are not in the estimate`,
  ];
}
