import type { Bus } from "../../shared/events/bus";
import { classesOf, serves, Workers } from "../../shared/events/presence";
import { publishEvent } from "../../shared/events/publisher";
import { SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { refuse } from "../../shared/space/validate";
import { aliveOnly, deviceNotServed, isUnserved, threadViolations } from "../../shared/spec/deviceClass";
import type { ResolvedSpec } from "../../shared/spec/presets";
import { CLIENT_RETRY_MS } from "./projection";
import { isEnded, type SearchRecord } from "./record";

const MEASURED: ReadonlySet<SearchPhase> = new Set([
  SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS,
  SearchPhase.SEARCH_PHASE_PROFILING_NETWORK,
]);

/** The device classes that searches ask for, and the latency workers that serve them. */
export class Devices {
  private readonly workers: Workers;

  constructor(private readonly bus: Bus) {
    this.workers = new Workers(bus);
  }

  /**
   * FAILED_PRECONDITION (DEVICE_NOT_SERVED) where no live worker serves the class of a spec, unless there is no worker at all and the search
   * may wait for one: then the answer is false. INVALID_ARGUMENT where it asks for more threads than the worker with the fewest logical cores has.
   */
  async requireServed({ profiling: { deviceClass, threads } }: ResolvedSpec, mayWait: boolean): Promise<boolean> {
    const all = await this.workers.alive();
    if (mayWait && all.length === 0) return false;
    const found = all.some(serves(deviceClass)) ? all : await this.workers.serving(deviceClass);
    const own = found.filter(serves(deviceClass));
    if (own.length === 0) throw deviceNotServed(deviceClass, classesOf(found));
    const cores = Math.min(...own.map(({ figures }) => figures?.cpu?.cores ?? Infinity));
    refuse("INVALID_SPEC", "spec", threadViolations(threads, cores, deviceClass));
    return true;
  }

  /** Ids of the searches that know another state of their class than that of now. */
  async outdated(searches: readonly Search[]): Promise<string[]> {
    const all = await this.workers.alive();
    return searches.filter((search) => all.some(serves(classOf(search))) === isWaiting(search)).map(({ id }) => id);
  }

  /**
   * Publishes that the class of a search is not served, or is served again; returns whether that was news. Safe to repeat, and in several
   * processes at once.
   */
  async tell(record: SearchRecord): Promise<boolean> {
    const { search, ordinals } = record;
    const deviceClass = classOf(search);
    const all = await this.workers.serving(deviceClass);
    const available = all.some(serves(deviceClass));
    if (isEnded(search) || available !== isWaiting(search)) return false;
    const classes = classesOf(all);
    const number = (ordinals["device.availability.changed"] ?? 0) + 1;
    const waits = measures(search) ? "waits" : "goes on until its measurement, and will wait";
    const message = available
      ? `a latency worker of device class ${deviceClass} is alive`
      : `the search ${waits} for a latency worker of device class ${deviceClass}: ${aliveOnly(classes)}`;
    const data = { number, deviceClass, available, classes, message };
    await publishEvent(
      this.bus,
      search.id,
      { type: "device.availability.changed", data },
      { retryForMs: CLIENT_RETRY_MS },
    );
    return true;
  }
}

/** Whether a search is to be told when the workers of its class come or go: it needs one now, or has been told that there is none. */
export function concerns(search: Search): boolean {
  const { state } = search;
  const goesOn = state === SearchState.SEARCH_STATE_PENDING || state === SearchState.SEARCH_STATE_RUNNING;
  return !isEnded(search) && (isWaiting(search) || (goesOn && measures(search)));
}

/** Whether a search needs a measurement next. The derived network of a search for a latency is measured before it is trained. */
function measures({ phase, result }: Search): boolean {
  if (MEASURED.has(phase)) return true;
  if (phase !== SearchPhase.SEARCH_PHASE_DERIVING || !result?.genotype || !result.target) return false;
  const { derivedSeconds, repairs } = result.target;
  return (repairs.at(-1)?.measuredSeconds ?? derivedSeconds) === 0;
}

/** Whether nothing works on a search, because no worker of its class is there to measure. */
export const waitsForDevice = (search: Search): boolean => isWaiting(search) && measures(search);

/**
 * Whether a search may begin without any latency worker: its client's spec names no class, and by the resolved spec it needs a worker only at its
 * end.
 */
export function mayWait(given: SearchSpec | undefined, { cost: { metric } }: ResolvedSpec): boolean {
  const { cost, profiling } = given ?? {};
  return !profiling?.deviceClass && !cost?.device && metric !== CostMetric.COST_METRIC_LATENCY;
}

/** The device class that a search asks for. */
export const classOf = ({ spec }: Search): string => spec?.profiling?.deviceClass || "cpu";

const isWaiting = ({ conditions }: Search): boolean => conditions.some(isUnserved);
