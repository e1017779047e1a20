import { SERVICES, type ServiceName } from "../cli/stack/stack";
import { SearchServiceClient } from "../shared/proto/lathe/v1/search";
import { connect } from "../shared/rpc/client";
import { outcome } from "./outcome";
import { Replicas } from "./replicas";
import { smallSpec } from "./specs";
import { System } from "./system";

/** A metric of each service that is above 0 only in a process that has done work of a search. */
const WORKED: Readonly<Record<ServiceName, RegExp>> = {
  search: /^nas_epoch_duration_seconds_count\{phase="search"\} [1-9]/m,
  supernet: /^nas_step_duration_seconds_count\{.*\} [1-9]/m,
  shrinking: /^nas_shrink_removed_total\{.*\} [1-9]/m,
  discretization: /^nas_derivations_total\{outcome="succeeded"\} [1-9]/m,
  latency: /^nas_profiler_runs_total\{kind="network",outcome="ok"\} [1-9]/m,
};

/** The services whose second process has done no work yet. */
async function withoutWork({ addresses }: Replicas): Promise<ServiceName[]> {
  const texts = await Promise.all(
    SERVICES.map(async (name) => (await fetch(`http://${addresses[name]!.http}/metrics`)).text()),
  );
  return SERVICES.filter((name, index) => !WORKED[name].test(texts[index]!));
}

it("two processes of each service share the searches, with the same results and the same answers as one of each", async () => {
  const system = await System.start();
  const alone = outcome((await system.run(smallSpec())).history);
  const replicas = await Replicas.start(system.stack.natsUrl, SERVICES);
  const second = connect(SearchServiceClient, replicas.addresses.search!.grpc);
  try {
    expect(await withoutWork(replicas)).toEqual(SERVICES);
    const sides = [system.search.api, second.api];
    const started = await Promise.all(
      sides.map((api) => api.startSearch({ spec: smallSpec(), requestId: "replicas" })),
    );
    // The same request to both processes starts one search.
    const [id, same] = started.map(({ search }) => search!.id);
    expect(same).toBe(id);
    const ids = [id!, await system.begin(smallSpec())];

    for (const searchId of ids) {
      const watched = sides.map(async (api) => {
        const seen: number[] = [];
        for await (const { sequence } of api.watchSearch({ searchId, fromSequence: 0, includeProgress: false }))
          seen.push(sequence);
        return seen;
      });
      await system.ended(searchId);
      const history = await system.history(searchId);
      expect(outcome(history)).toEqual(alone);
      const sequences = history.map(({ sequence }) => sequence);
      expect(await Promise.all(watched)).toEqual([sequences, sequences]);
      const [record, again] = await Promise.all(sides.map((api) => api.getSearch({ searchId })));
      expect(again).toEqual(record);
    }
    // NATS chooses the process that gets an item: two searches at once, until each second process has got one.
    while ((await withoutWork(replicas)).length > 0) {
      const more = await Promise.all([system.begin(smallSpec()), system.begin(smallSpec())]);
      for (const searchId of more) {
        await system.ended(searchId);
        expect(outcome(await system.history(searchId))).toEqual(alone);
      }
      ids.push(...more);
    }
    const listed = await Promise.all(
      sides.map((api) => api.listSearches({ pageSize: 100, pageToken: "", states: [], labels: {} })),
    );
    expect(listed[0]).toEqual(listed[1]);
    expect(listed[0]!.searches).toHaveLength(1 + ids.length);
  } finally {
    second.close();
    await replicas.stop();
    await system.stop();
  }
});
