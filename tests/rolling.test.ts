import { setTimeout as pause } from "node:timers/promises";
import { follow } from "../cli/search/follow";
import { SERVICES, type ServiceName } from "../cli/stack/stack";
import { DiscretizationServiceClient } from "../shared/proto/lathe/v1/discretization";
import { LatencyServiceClient } from "../shared/proto/lathe/v1/latency";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { ShrinkingServiceClient } from "../shared/proto/lathe/v1/shrinking";
import { connect } from "../shared/rpc/client";
import { initialArchitecture } from "../shared/space/groups";
import { resolve } from "../shared/spec/resolve";
import { until } from "../shared/testing/until";
import { outcome } from "./outcome";
import { longSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

/**
 * Shortest time, in ms, that a client's call waits for a service: the sum of the retry delays of its service config (0.3 + 1.2 + 4 + 4 s,
 * up to a fifth less by jitter), less a margin.
 */
const RETRIES_MS = 6_500;

/** Stops a service in order, as a rolling update does. Resolves when another process has taken its place. */
async function restart(service: ServiceName): Promise<void> {
  const { pid, grpc } = system.stack.addresses()[service];
  process.kill(pid, "SIGTERM");
  await until(
    () => system.stack.addresses()[service].pid,
    (now) => now !== pid,
  );
  expect(system.stack.addresses()[service].grpc).toBe(grpc);
}

/**
 * Makes read-only calls, one after another, until it is stopped. Returns the number of answers, and the errors of failed calls. A call
 * may fail as unreachable only after all of its retries, on a machine so busy that a process starts later than that.
 */
async function callAlways(
  calls: Readonly<Record<ServiceName, () => Promise<unknown>>>,
  stop: AbortSignal,
): Promise<Record<string, { answered: number; failed: string[] }>> {
  const of = async (name: ServiceName) => {
    const seen = { answered: 0, failed: [] as string[] };
    while (!stop.aborted) {
      const started = performance.now();
      await calls[name]().then(
        () => seen.answered++,
        ({ message }: Error) => {
          const waited = performance.now() - started >= RETRIES_MS && message.includes("is not reachable");
          if (!waited) seen.failed.push(message);
        },
      );
      await pause(20);
    }
    return [name, seen] as const;
  };
  return Object.fromEntries(await Promise.all(SERVICES.map(of)));
}

it("a restart of every service in turn loses nothing of a running search, and no call fails", async () => {
  const spec = longSpec({ training: { epochs: 24, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.02 } });
  const undisturbed = outcome((await system.run(spec)).history);

  const addresses = system.stack.addresses();
  const shrinking = connect(ShrinkingServiceClient, addresses.shrinking.grpc);
  const latency = connect(LatencyServiceClient, addresses.latency.grpc);
  const discretization = connect(DiscretizationServiceClient, addresses.discretization.grpc);
  const { space } = resolve(spec);
  const architecture = initialArchitecture(space);

  const id = await system.begin(spec);
  const watched: number[] = [];
  const watching = (async () => {
    for await (const { sequence } of follow(system.search.api, id)) watched.push(sequence);
  })();
  const stop = new AbortController();
  const calling = callAlways(
    {
      search: () => system.get(id),
      supernet: () => system.supernet.api.describeSpace({ spec }),
      shrinking: () => shrinking.api.decide({ space, architecture, policy: undefined, epoch: 1, epochs: 24 }),
      discretization: () => discretization.api.discretize({ space, architecture }),
      latency: () => latency.api.listDevices({}),
    },
    stop.signal,
  );
  await system.event(id, "epoch.completed", 1);
  for (const service of SERVICES) await restart(service);
  // All restarts must lie within the search for the test to show anything.
  expect((await system.get(id)).state).toBe(SearchState.SEARCH_STATE_RUNNING);
  const ended = await system.ended(id);
  await watching;
  stop.abort();
  const calls = await calling;
  for (const connection of [shrinking, latency, discretization]) connection.close();

  expect(ended.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  const history = await system.history(id);
  expect(outcome(history)).toEqual(undisturbed);
  expect(watched).toEqual(history.map(({ sequence }) => sequence));
  for (const service of SERVICES) {
    expect([service, calls[service]?.failed]).toEqual([service, []]);
    expect(calls[service]?.answered).toBeGreaterThan(10);
  }
});
