import { soak } from "./run";

it("six searches with acts and restarts of a seed end as they should, and leave nothing behind", async () => {
  // This seed has every act but a failure, and restarts a service and nats-server.
  const said: string[] = [];
  const { levels, deviations } = await soak({ searches: 6, seed: 240, say: (line) => said.push(line) });
  expect(deviations.length === 0 ? "" : [...said, ...deviations].join("\n")).toBe("");
  const held = levels.map(({ messages }) => messages["EVENTS"]! > 0);
  expect(held).toEqual([false, true, true, true, false]);
});
