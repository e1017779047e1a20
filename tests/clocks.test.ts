import { join } from "node:path";
import { SERVICES, type ServiceName } from "../cli/stack/stack";
import { packageRoot } from "../shared/process/root";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { outcome } from "./outcome";
import { slowSpec } from "./specs";
import { System } from "./system";

/** Starts the services with clocks that are off by some hours. */
const withClocks = (hours: Partial<Record<ServiceName, number>>): Promise<System> =>
  System.start({
    NODE_OPTIONS: `--require ${join(packageRoot(), "tests", "clock.cjs")}`,
    CLOCKS: Object.entries(hours)
      .map(([service, by]) => `${service}=${by}`)
      .join(","),
  });

/** Moves the clocks of the services and of the training process, which runs its own program by then. */
const jump = (system: System): void => {
  const services = SERVICES.map((service) => system.stack.addresses()[service].pid);
  for (const pid of [...services, ...system.trainers()]) process.kill(pid, "SIGUSR2");
};

let undisturbed: unknown[];
beforeAll(async () => {
  const system = await System.start();
  undisturbed = outcome((await system.run(slowSpec())).history);
  await system.stop();
});

it.each<[string, Partial<Record<ServiceName, number>>]>([
  ["agree with no other", { search: 1, shrinking: -1, discretization: 2, latency: -2 }],
  ["are an hour ahead", { search: 1, supernet: 1, shrinking: 1, discretization: 1, latency: 1 }],
])("a search ends as any other on services whose clocks %s, jump and jump back", async (_, hours) => {
  const system = await withClocks(hours);
  try {
    const id = await system.begin(slowSpec());
    const { createdAt } = await system.get(id);
    expect(Math.abs(createdAt!.getTime() - Date.now())).toBeGreaterThan(1_800_000);
    await system.event(id, "epoch.completed", 1);
    jump(system);
    await system.inEpoch(id, 2);
    await system.killTrainer();
    await system.event(id, "epoch.completed", 3);
    jump(system);
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(outcome(await system.history(id))).toEqual(undisturbed);
  } finally {
    await system.stop();
  }
});
