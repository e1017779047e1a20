import { join } from "node:path";
import { watchSearches } from "../bench/watchers";
import { compiled } from "./compiled";

it("searches queued on one trainer begin in order and end, and each of their watchers gets each event once", async () => {
  const options = { searches: 4, watchers: 12, minutes: 0, services: join(compiled(), "services") };
  const { notes, series } = await watchSearches(options);
  expect(notes["searches"]).toBe("4 on one trainer, 4 open at one time; 4 succeeded, 0 cancelled at the end");
  expect(series["GetSearch"]!.length).toBeGreaterThan(0);
});
