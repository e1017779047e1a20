import { renameSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../shared/process/errors";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { until } from "../shared/testing/until";
import { slowSpec, smallSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

it("NATS that comes back with an empty store loses what ran, by name, and new searches run without a restart of a service", async () => {
  const lost = await system.begin(slowSpec());
  const pids = Object.values(system.stack.addresses()).map(({ pid }) => pid);
  const watch = async () => {
    for await (const _event of system.search.api.watchSearch({
      searchId: lost,
      fromSequence: 0,
      includeProgress: false,
    }));
  };
  const watched = watch().then(
    () => undefined,
    (error: unknown) => LatheError.from(error),
  );
  await system.inEpoch(lost, 1);
  const store = join(system.stack.folder, "nats");
  renameSync(store, `${store}.lost`);
  system.stack.kill("nats");
  expect(await watched).toMatchObject({
    code: "NOT_FOUND",
    reason: "SEARCH_LOST",
    message: `search ${lost} is lost: NATS has come back without the streams that held it`,
  });
  await until(
    () => system.get(lost).catch((error: unknown) => LatheError.from(error)),
    (found) => found instanceof LatheError && found.code === "NOT_FOUND",
  );
  await system.trainersGone();
  const { search, history } = await system.run(smallSpec());
  expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  expect(history.every(({ searchId }) => searchId === search.id)).toBe(true);
  expect(await system.history(lost)).toEqual([]);
  expect(Object.values(system.stack.addresses()).map(({ pid }) => pid)).toEqual(pids);
});
