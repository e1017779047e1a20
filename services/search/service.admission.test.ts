import { SearchServiceClient, SearchState } from "../../shared/proto/lathe/v1/search";
import { createMetrics } from "../../shared/process/metrics";
import { resolve } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import { startRpc } from "../../shared/testing/rpc";
import { latencyTable, tinySpec, workerEvents } from "../../shared/testing/searches";
import { until } from "../../shared/testing/until";
import { OperatorsProfiled } from "../../shared/proto/lathe/v1/events";
import { publishEvent } from "../../shared/events/publisher";
import { consume } from "./consumer";
import { searchMetrics } from "./metrics";
import { Projection } from "./projection";
import { searchService } from "./rpc";
import { Searches } from "./searches";
import { failure, host } from "./service.fixture";

describe("admission", () => {
  it("bounds the searches that are open, counts each once, and lets a repetition of a start through", async () => {
    const own = await startTestBus();
    const lone = new Projection(own.bus, host);
    const searches = new Searches(own.bus, lone, 3);
    const start = (requestId = "") => searches.start({ spec: tinySpec(), requestId });
    const refused = {
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_SEARCHES",
      message: expect.stringContaining(
        "3 searches, with their branches, are pending, running or paused, at most 3 may",
      ) as string,
      retryAfterMs: 30_000,
    };
    const first = await start("req-first");
    const outcomes = await Promise.allSettled([start(), start(), start(), start(), start()]);
    const started = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value.id] : []));
    expect(new Set([first.id, ...started]).size).toBeLessThanOrEqual(3);
    while ((await lone.places.list()).length < 3) await start();
    await expect(start("req-late")).rejects.toMatchObject(refused);
    expect((await start("req-first")).id).toBe(first.id);
    await searches.pause(first.id);
    await expect(start("req-late")).rejects.toMatchObject(refused);
    await searches.cancel(first.id, "");
    expect((await start("req-late")).id).not.toBe(first.id);
    await own.bus.drain();
    await own.nats.stop();
  });

  it("tells a client of gRPC when to try again", async () => {
    const own = await startTestBus();
    const busy = await startRpc([searchService(own.bus, new Projection(own.bus, host), 1)]);
    const client = busy.connect(SearchServiceClient).api;
    await client.startSearch({ spec: tinySpec(), requestId: "" });
    expect(await failure(client.startSearch({ spec: tinySpec(), requestId: "" }))).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_SEARCHES",
      retryAfterMs: 30_000,
    });
    await busy.stop();
    await own.bus.drain();
    await own.nats.stop();
  });

  it("counts the branches of a search with it, and accepts or refuses them all at its start", async () => {
    const own = await startTestBus();
    const projection = new Projection(own.bus, host);
    const consumption = await consume(own.bus, projection, searchMetrics(createMetrics()), { backoffMs: 10 });
    const rpc = await startRpc([searchService(own.bus, projection, 5)]);
    const { api } = rpc.connect(SearchServiceClient);
    const ask = (targets: string[], validateOnly = false) => {
      const spec = tinySpec({ cost: targets.length > 0 ? { targets } : {} });
      return api.startSearch({ spec, requestId: "", waitForDevice: true, validateOnly });
    };
    const start = async (...targets: string[]) => (await ask(targets)).search!.id;
    const count = async () => (await projection.places.list()).length;
    const cancel = (searchId: string) => api.cancelSearch({ searchId, reason: "" });
    const isThere = (id: string) =>
      until(
        () => projection.places.get(id),
        (place) =>
          place?.value.state === SearchState.SEARCH_STATE_PENDING ||
          place?.value.state === SearchState.SEARCH_STATE_RUNNING,
      );

    const three = await start("10ms", "12ms", "15ms");
    const refused = await failure(ask(["10ms", "12ms", "15ms"]));
    expect(refused).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "TOO_MANY_SEARCHES", retryAfterMs: 30_000 });
    expect(refused.message).toBe(
      "3 searches, with their branches, are pending, running or paused, at most 5 may, and this one becomes 3 by its cost.targets: wait for one to end, or cancel one",
    );
    const two = await start("10ms", "12ms");
    expect(await failure(ask([]))).toMatchObject({
      message: expect.stringMatching(/^5 searches, .* at most 5 may: wait/) as string,
    });
    expect(await count()).toBe(2);

    // More than the limit is a fault of the request, whatever is open, and a check says so too.
    const many = ["10ms", "11ms", "12ms", "13ms", "14ms", "15ms"];
    for (const validateOnly of [false, true])
      expect(await failure(ask(many, validateOnly))).toMatchObject({
        ...{ code: "INVALID_ARGUMENT", reason: "INVALID_SPEC" },
        violations: [
          {
            field: "cost.targets",
            description: "has 6 latencies, each of which becomes a search, must have at most 5 (LATHE_MAX_SEARCHES)",
          },
        ],
      });
    expect(await count()).toBe(2);

    // One that ends before its supernet is trained begins no branches.
    await cancel(two);
    const lone = await start();
    const another = await start();
    expect(await failure(ask([]))).toMatchObject({ reason: "TOO_MANY_SEARCHES" });

    // A branch that has begun is counted once, for as long as it is open itself.
    const { space } = resolve(tinySpec());
    const made = workerEvents(space);
    const data = OperatorsProfiled.fromPartial({
      table: latencyTable(space, 0.02, { networks: 12, meanError: 0.01, rankCorrelation: 1 }),
      ...{ conditions: { p50Seconds: 0.02 }, smallest: { p50Seconds: 0.005 } },
    });
    for (const event of [{ type: "operators.profiled" as const, data }, made.epoch(1), made.kept(1), made.converged])
      await publishEvent(own.bus, three, event);
    const branches = [`${three}-2`, `${three}-3`];
    for (const id of branches) await isThere(id);
    expect(await failure(ask([]))).toMatchObject({ reason: "TOO_MANY_SEARCHES" });
    await cancel(branches[0]!);
    await start();
    await cancel(three);
    await cancel(branches[1]!);
    expect(await failure(ask(["10ms", "12ms", "15ms"]))).toMatchObject({ reason: "TOO_MANY_SEARCHES" });
    await start("10ms", "12ms");
    await cancel(lone);
    await cancel(another);
    await rpc.stop();
    await consumption.stop();
    await own.bus.drain();
    await own.nats.stop();
  });
});
