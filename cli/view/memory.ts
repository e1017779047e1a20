import type { MemoryEstimate } from "../../services/supernet/training/memory";
import { memorySize } from "../../shared/engine/account";

/** In a line. */
export function memoryLine({ bytes, steps }: MemoryEstimate, machine: number): string {
  const parts = steps.map((step) => `${step.name} ${memorySize(step.bytes)}`).join(", ");
  return `training the supernet needs about ${memorySize(bytes)} (${parts}); this machine has ${memorySize(machine)}`;
}

/** Step by step. */
export function memoryLines(preset: string, estimate: MemoryEstimate, machine: number): string[] {
  const row = (...cells: string[]) => `  ${(cells[0] ?? "").padEnd(12)}${cells.slice(1).map((cell) => cell.padStart(14)).join("")}`; // prettier-ignore
  return [
    `estimated memory of training the whole supernet of ${preset}, formulation ${estimate.formulation}`,
    row("", "activations", "constants", "inputs", "outputs", "together"),
    ...estimate.steps.map(({ name, activations, constants, inputs, outputs, bytes }) =>
      row(name, ...[activations, constants, inputs, outputs, bytes].map(memorySize)),
    ),
    row("process", "", "", "", "", memorySize(estimate.processBytes)),
    row("all", "", "", "", "", memorySize(estimate.bytes)),
    `this machine has ${memorySize(machine)}; decoded images are not in the estimate`,
  ];
}
