import { SERVICES } from "../cli/stack/stack";
import { SearchServiceClient } from "../shared/proto/lathe/v1/search";
import { connect } from "../shared/rpc/client";
import { outcome } from "./outcome";
import { Replicas } from "./replicas";
import { smallSpec } from "./specs";
import { System } from "./system";

it("two of each service carry out searches as one of each does, and either search service tells of all of them", async () => {
  const system = await System.start();
  const alone = outcome((await system.run(smallSpec())).history);
  const replicas = await Replicas.start(system.stack.natsUrl, SERVICES);
  const second = connect(SearchServiceClient, replicas.addresses.search!.grpc);
  try {
    const sides = [system.search.api, second.api];
    const started = await Promise.all(
      sides.map((api) => api.startSearch({ spec: smallSpec(), requestId: "replicas" })),
    );
    // The same request at both is one search; another one for the second trainer.
    const [id, same] = started.map(({ search }) => search!.id);
    expect(same).toBe(id);
    const other = await system.begin(smallSpec());

    for (const searchId of [id!, other]) {
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
    const listed = await Promise.all(
      sides.map((api) => api.listSearches({ pageSize: 10, pageToken: "", states: [], labels: {} })),
    );
    expect(listed[0]).toEqual(listed[1]);
    expect(listed[0]!.searches).toHaveLength(3);
  } finally {
    second.close();
    await replicas.stop();
    await system.stop();
  }
});
