import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "../cli/stack/child";
import { startGuard, type Guard } from "../cli/stack/guard";
import { SERVICES, serviceProcess } from "../cli/stack/stack";
import { takeStateFolder, type StateFolder } from "../cli/stack/state";
import { SearchServiceClient, type SearchServiceService } from "../shared/proto/lathe/v1/search";
import { connect, type Connection } from "../shared/rpc/client";
import { PATIENCE_MS } from "../shared/testing/until";
import { compiled } from "./compiled";
import { outcome } from "./outcome";
import { smallSpec } from "./specs";
import { newFolder, System } from "./system";

/** A second process of each service on the NATS of a system. */
class Replicas {
  private constructor(
    private readonly children: readonly Child[],
    private readonly guard: Guard,
    private readonly state: StateFolder,
    readonly search: Connection<typeof SearchServiceService>,
  ) {}

  static async start(natsUrl: string): Promise<Replicas> {
    const state = takeStateFolder(newFolder());
    const guard = startGuard();
    const options = { env: { LATHE_LEASE: "4s", LATHE_THREADS: "1" }, services: join(compiled(), "services") };
    const replicas = SERVICES.map((name) => serviceProcess(name, natsUrl, state, guard, options));
    const children = await Promise.all(replicas.map(({ start }) => start(new AbortController().signal)));
    const search = connect(SearchServiceClient, replicas[SERVICES.indexOf("search")]!.address().grpc);
    return new Replicas(children, guard, state, search);
  }

  async stop(): Promise<void> {
    this.search.close();
    await Promise.all(this.children.map((child) => child.stop(PATIENCE_MS)));
    await this.guard.stop();
    rmSync(this.state.folder, { recursive: true, force: true });
  }
}

it("two of each service carry out searches as one of each does, and either search service tells of all of them", async () => {
  const system = await System.start();
  const alone = outcome((await system.run(smallSpec())).history);
  const replicas = await Replicas.start(system.stack.natsUrl);
  try {
    const sides = [system.search.api, replicas.search.api];
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
    await replicas.stop();
    await system.stop();
  }
});
