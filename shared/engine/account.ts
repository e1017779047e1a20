import { totalmem } from "node:os";
import { LatheError } from "../process/errors";
import type { Graph } from "./graph";
import { graphMemory, total } from "./memory";
import type { Provider } from "./provider";

/** What the compiled steps of this process are estimated to hold together, against what they may. */
export class MemoryAccount {
  private readonly steps = new Map<symbol, number>();
  /** Of the process without its steps: the runtime, and decoded images. */
  private base: number | undefined;

  constructor(
    private readonly boundBytes: number,
    private readonly residentBytes: () => number = () => process.memoryUsage.rss(),
  ) {}

  /** Estimate of what is held now; 0 before the first step. */
  bytes(): number {
    return [...this.steps.values()].reduce((sum, bytes) => sum + bytes, this.base ?? 0);
  }

  /** Adds a step, until the function that is returned is called; FAILED_PRECONDITION (MEMORY_EXCEEDED) where it does not fit beside the others. */
  admit(name: string, graph: Graph): () => void {
    this.base ??= this.residentBytes();
    const step = Symbol(name);
    const bytes = total(graphMemory(graph));
    const before = this.bytes();
    if (before + bytes > this.boundBytes) {
      throw new LatheError(
        "FAILED_PRECONDITION",
        `step "${name}" needs about ${gibibytes(bytes)}, which with the ${gibibytes(before)} held already makes ${gibibytes(before + bytes)}; ` +
          `training may use ${gibibytes(this.boundBytes)} (LATHE_TRAINING_MEMORY): lower the batch size or the input size`,
        {
          reason: "MEMORY_EXCEEDED",
          metadata: { step: name, estimate_bytes: String(before + bytes), bound_bytes: String(this.boundBytes) },
        },
      );
    }
    this.steps.set(step, bytes);
    return () => void this.steps.delete(step);
  }
}

/** The account of a provider: on the CPU of the whole process, bound by the machine unless given; on a device of the steps alone, bound only where given. */
export function memoryAccount(provider: Provider, boundBytes = 0): MemoryAccount {
  if (provider === "cpu") return new MemoryAccount(boundBytes || machineBytes());
  return new MemoryAccount(boundBytes || Infinity, () => 0);
}

/** Memory of the machine, or what a container lets this process have of it. */
export function machineBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

export const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 2 : 1)} GiB`;
