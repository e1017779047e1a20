import type { LatheEvent } from "../../shared/events/catalog";
import { createMetrics } from "../../shared/process/metrics";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { resolve } from "../../shared/spec/resolve";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { project } from "./lifecycle";
import { searchMetrics } from "./metrics";
import { newRecord } from "./record";

const { spec, space } = resolve(tinySpec());
const made = workerEvents(space);

const seriesOf = async (registry: { metrics(): Promise<string> }) =>
  (await registry.metrics()).split("\n").filter((line) => line.startsWith("nas_")).length;

describe("metrics of searches", () => {
  it("have as many series after many searches as before them", async () => {
    const metrics = createMetrics();
    const observed = searchMetrics(metrics);
    let sequence = 0;
    /** A search that runs through an epoch; how it stands then. */
    const run = (searchId: string): Search => {
      let record = newRecord(searchId, { spec, space, specSha256: "0" }, new Date());
      const events: LatheEvent[] = [made.epoch(1), made.kept(1), made.sampled(1), made.candidate(1), made.retrained(1)];
      for (const event of events) {
        const stored = { sequence: ++sequence, time: new Date(), searchId, event };
        record = project(record, stored) ?? record;
        observed.show(record.search);
        observed.count(stored);
      }
      return record.search;
    };
    const end = (search: Search) => observed.show({ ...search, state: SearchState.SEARCH_STATE_SUCCEEDED });
    // The first makes the series without a search, of phases and outcomes.
    end(run("s-first"));
    const before = await seriesOf(metrics.registry);
    const running = Array.from({ length: 20 }, (_, n) => run(`s-${n}`));
    expect(await seriesOf(metrics.registry)).toBeGreaterThan(before + 20 * 20);
    running.slice(0, 10).forEach(end);
    // Deleted by another process, or ended while this one was not looking.
    for (const { id } of running.slice(10)) observed.remove(id);
    expect(await seriesOf(metrics.registry)).toBe(before);
    // What comes late brings nothing back.
    observed.heard("s-1", new Date());
    observed.count({ sequence: ++sequence, time: new Date(), searchId: "s-1", event: made.retrained(2) });
    expect(await seriesOf(metrics.registry)).toBe(before);
  });
});
