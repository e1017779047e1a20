import { killPoints, pointsTable } from "./points";
import { chaos } from "./run";

/** The lines of a run, for a test that fails. */
let said: string[];
beforeEach(() => (said = []));
const say = (line: string) => void said.push(line);
const told = (deviations: readonly string[]) => (deviations.length === 0 ? "" : [...said, ...deviations].join("\n"));

it("twenty faults of a seeded plan change nothing in three searches, and nothing is left of them", async () => {
  expect(told(await chaos({ searches: 3, kills: 20, seed: 1, say }))).toBe("");
});

it("a search whose services die before and after their durable writes ends with the same bytes", async () => {
  const { deaths, deviations } = await killPoints({ searches: 1, seed: 1, say });
  expect(told(deviations)).toBe("");
  say(pointsTable(deaths));
  for (const service of ["search", "supernet", "shrinking", "discretization", "latency"])
    expect(deaths.filter((death) => death.service === service).length).toBeGreaterThanOrEqual(2);
  expect(deaths.length).toBeGreaterThanOrEqual(30);
});
