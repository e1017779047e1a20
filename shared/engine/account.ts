import { LatheError } from "../process/errors";
import { machineBytes, memorySize } from "../process/memory";
import { freeDeviceBytes } from "./device";
import type { Graph } from "./graph";
import { eagerMemory, graphMemory, total, type GraphMemory } from "./memory";
import type { Provider } from "./provider";

/** How the memory of steps is estimated and added up. */
interface Estimate {
  of(graph: Graph): GraphMemory;
  /** Bytes of steps that are compiled at the same time. */
  together(bytes: readonly number[]): number;
}

/** A compiled graph keeps its memory until its release. */
export const COMPILED: Estimate = { of: graphMemory, together: (bytes) => bytes.reduce((sum, each) => sum + each, 0) };

/** An eager engine keeps nothing between the runs of its steps, and runs one at a time. */
export const EAGER: Estimate = { of: eagerMemory, together: (bytes) => Math.max(0, ...bytes) };

/** Keeps the sum of the estimated memory of all compiled steps of a process below a bound. All sizes are in bytes. */
export class MemoryAccount {
  private readonly steps = new Map<symbol, number>();
  /** Memory of the process without its steps: the runtime and decoded images. */
  private base: number | undefined;

  constructor(
    private readonly boundBytes: number,
    private readonly residentBytes: () => number = () => process.memoryUsage.rss(),
    private readonly estimate: Estimate = COMPILED,
  ) {}

  /** Estimated memory in use now; 0 before the first step. */
  bytes(): number {
    return this.with([]);
  }

  /**
   * Adds a step and returns the function that removes it. Throws FAILED_PRECONDITION (MEMORY_EXCEEDED) if the step does not fit beside
   * the others.
   */
  admit(name: string, graph: Graph): () => void {
    this.base ??= this.residentBytes();
    const step = Symbol(name);
    const bytes = total(this.estimate.of(graph));
    const all = this.with([bytes]);
    if (all > this.boundBytes) {
      throw new LatheError(
        "FAILED_PRECONDITION",
        `step "${name}" needs about ${memorySize(bytes)}, which with the ${memorySize(all - bytes)} held already makes ${memorySize(all)}; ` +
          `training may use ${memorySize(this.boundBytes)} (LATHE_TRAINING_MEMORY): lower the batch size or the input size`,
        {
          reason: "MEMORY_EXCEEDED",
          metadata: { step: name, estimate_bytes: String(all), bound_bytes: String(this.boundBytes) },
        },
      );
    }
    this.steps.set(step, bytes);
    return () => void this.steps.delete(step);
  }

  private with(further: readonly number[]): number {
    return (this.base ?? 0) + this.estimate.together([...this.steps.values(), ...further]);
  }
}

/** The account of a provider. On the CPU it covers the whole process, on a device only the steps. */
export function memoryAccount(provider: Provider, boundBytes = 0, estimate = COMPILED): MemoryAccount {
  return new MemoryAccount(memoryBound(provider, boundBytes), provider === "cpu" ? undefined : () => 0, estimate);
}

/**
 * The bound of an account in bytes: the configured one, or for 0 the machine's memory, on a device what is free now. Infinity where the
 * driver does not say what is free.
 */
export function memoryBound(provider: Provider, boundBytes = 0, free = freeDeviceBytes): number {
  if (boundBytes > 0) return boundBytes;
  return provider === "cpu" ? machineBytes() : (free() ?? Infinity);
}
