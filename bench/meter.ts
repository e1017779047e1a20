import type { Engine } from "../shared/engine/engine";

/** Time that a process spent in one kind of work. */
export interface Spent {
  runs: number;
  seconds: number;
  /** Processor time of the whole process meanwhile, in seconds. */
  processor: number;
}

export const COMPILING = "trace and compile";
/** What is not in a step, nor in its compilation: batches that are awaited, dropout, vectors, checkpoints. */
export const BETWEEN = "between";

/** An engine whose steps and compilations are timed by name. */
interface Meter {
  engine: Engine;
  /** What was spent since the last call, or since the meter began; the sum of all is the time that passed. */
  take(): Map<string, Spent>;
}

export function meter(engine: Engine): Meter {
  let spent = new Map<string, Spent>();
  let began = now();
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const started = now();
    const result = await work();
    add(spent, name, since(started));
    return result;
  };
  return {
    engine: {
      ...engine,
      compile: async (step, signature, name = "step", optimization) => {
        const compiled = await timed(COMPILING, () => engine.compile(step, signature, name, optimization));
        return { ...compiled, run: (inputs, into) => timed(name, () => compiled.run(inputs, into)) };
      },
    },
    take: () => {
      const whole = since(began);
      const parts = spent;
      for (const { seconds, processor } of [...parts.values()]) {
        whole.seconds -= seconds;
        whole.processor -= processor;
      }
      parts.set(BETWEEN, whole);
      [spent, began] = [new Map<string, Spent>(), now()];
      return parts;
    },
  };
}

const now = () => ({ time: performance.now(), usage: process.cpuUsage() });

function since({ time, usage }: ReturnType<typeof now>): Spent {
  const { user, system } = process.cpuUsage(usage);
  return { runs: 1, seconds: (performance.now() - time) / 1000, processor: (user + system) / 1e6 };
}

function add(to: Map<string, Spent>, name: string, { runs, seconds, processor }: Spent): void {
  const sum = to.get(name) ?? { runs: 0, seconds: 0, processor: 0 };
  to.set(name, { runs: sum.runs + runs, seconds: sum.seconds + seconds, processor: sum.processor + processor });
}
