// Messages between latency workers and the services that compute on the same machine (alone.ts, standStill.ts).

/** Says that a latency worker measures, or with `over` that it has ended. */
export interface Measuring {
  worker: string;
  deviceClass: string;
  over: boolean;
}

/** The answer of a service: how many of its processes still compute. */
export interface Standing {
  service: string;
  computing: number;
}

/** A latency worker that measures says so in this interval. */
export const SAY_AGAIN_MS = 1_000;
/** After this silence a latency worker that has measured counts as dead. */
export const SILENCE_MS = 5 * SAY_AGAIN_MS;

/** Reads a message; undefined where it is malformed. */
export const measuringOf = (read: () => unknown): Measuring | undefined =>
  fieldsOf<Measuring>(read, { worker: "string", deviceClass: "string", over: "boolean" });

export const standingOf = (read: () => unknown): Standing | undefined =>
  fieldsOf<Standing>(read, { service: "string", computing: "number" });

function fieldsOf<T>(read: () => unknown, types: Record<keyof T, string>): T | undefined {
  try {
    const message = read() as Record<string, unknown>;
    return Object.entries(types).every(([name, type]) => typeof message[name] === type) ? (message as T) : undefined;
  } catch {
    return undefined;
  }
}
