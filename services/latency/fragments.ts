import type { Bus } from "../../shared/events/bus";
import type { JsonCodec } from "../../shared/events/catalog";
import { Records } from "../../shared/events/records";
import { MEASUREMENTS_BUCKET } from "../../shared/events/subjects";
import { withTiming, type Fragment, type FragmentCalls } from "./ratios";
import type { Timing } from "./timer";

/** A fragment as it is stored. */
interface StoredFragment extends Fragment {
  /** Time of the first measurement, in ms since 1970. */
  since: number;
}

const codec: JsonCodec<StoredFragment> = {
  toJSON: (fragment) => fragment,
  fromJSON: (json) => {
    const { rounds, since = NaN } = json as Partial<StoredFragment>;
    if (!(since > 0)) throw new Error("since must be a number above 0");
    if (!Array.isArray(rounds) || rounds.length === 0) throw new Error("rounds must be a list that is not empty");
    const timings = (rounds as Partial<Timing>[]).map(({ ratio = NaN, calibration = NaN }) => {
      if (!(ratio > 0 && calibration > 0)) throw new Error("ratio and calibration must be numbers above 0");
      return { ratio, calibration };
    });
    return { rounds: timings, since };
  },
};

/** Dots, so that the `nats` tool can name the fragments of one device by a pattern. */
const PREFIX = "fragment.";
/** A machine's fans, firmware and neighbours change, so a fragment is measured anew after this time. */
const MOST_AGE_MS = 30 * 24 * 3600 * 1000;
/** Fragments of a few dozen tables. A record takes some 200 bytes. */
const MOST_FRAGMENTS = 20_000;

interface FragmentsOptions {
  /** Most fragments that stay; 20,000. */
  most?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** The times of models on devices, which all searches and latency workers of an installation share. */
export class Fragments implements Pick<FragmentCalls, "known" | "keep"> {
  private readonly records: Records<StoredFragment>;
  private readonly most: number;
  private readonly now: () => number;

  constructor(bus: Bus, { most = MOST_FRAGMENTS, now = Date.now }: FragmentsOptions = {}) {
    this.records = new Records(bus, MEASUREMENTS_BUCKET, codec);
    this.most = most;
    this.now = now;
  }

  /** The fragments that are known and not older than 30 days. */
  async known(keys: readonly string[]): Promise<(Fragment | undefined)[]> {
    const found = await this.records.getAll(keys.map((key) => PREFIX + key));
    const byKey = new Map(found.map(({ key, value }) => [key, value]));
    return keys.map((key) => this.fresh(byKey.get(PREFIX + key)));
  }

  /** Adds a measurement to a fragment. It begins anew where the earlier ones are too old. */
  async keep(key: string, timing: Timing): Promise<Fragment> {
    const entry = await this.records.mutate(PREFIX + key, (stored) => {
      const known = this.fresh(stored);
      return { ...withTiming(known, timing), since: known?.since ?? this.now() };
    });
    return entry?.value ?? withTiming(undefined, timing);
  }

  /** Removes the fragments that were changed longest ago, where there are too many. */
  async prune(): Promise<void> {
    const keys = (await this.records.keys()).filter((key) => key.startsWith(PREFIX));
    if (keys.length <= this.most) return;
    const oldestFirst = (await this.records.getAll(keys)).sort((a, b) => a.revision - b.revision);
    for (const { key } of oldestFirst.slice(0, keys.length - this.most)) await this.records.delete(key);
  }

  private fresh(stored: StoredFragment | undefined): StoredFragment | undefined {
    return stored && this.now() - stored.since <= MOST_AGE_MS ? stored : undefined;
  }
}
