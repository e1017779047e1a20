import { soak } from "./run";

it("eight searches with acts and restarts of a seed end as they should, and leave nothing behind", async () => {
  const said: string[] = [];
  const { levels, deviations } = await soak({ searches: 8, seed: 1, say: (line) => said.push(line) });
  expect(deviations.length === 0 ? "" : [...said, ...deviations].join("\n")).toBe("");
  const held = levels.map(({ messages }) => messages["EVENTS"]! > 0);
  expect(held).toEqual([false, true, true, true, false]);
});
