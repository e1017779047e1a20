import type { StoredEvent } from "../shared/events/catalog";
import { encodeEvent } from "../shared/events/envelope";
import { readMessage, store } from "../shared/events/jetstream";
import { publishEvent } from "../shared/events/publisher";
import { CHECKPOINTS_BUCKET, eventSubject, manifestSubject, objectStream } from "../shared/events/subjects";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { slowSpec } from "./specs";
import { epochOf, System } from "./system";

// A foreign write on NATS while a search runs ends the search by name, or has no effect.

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

async function failure(searchId: string): Promise<{ reason: string; message: string }> {
  const { state, conditions } = await system.ended(searchId);
  expect(SearchState[state]).toBe("SEARCH_STATE_FAILED");
  const { reason = "", message = "" } = conditions.find(({ type }) => type === "Failed") ?? {};
  return { reason, message };
}

function completed({ event }: StoredEvent) {
  if (event.type !== "epoch.completed" || !event.data.checkpoint) throw new Error(`no checkpoint in ${event.type}`);
  return { ...event.data, object: event.data.checkpoint.object };
}

it("a checkpoint in whose place another whole one is put ends the search that would resume from it", async () => {
  const other = await system.begin(slowSpec({ seed: 8 }));
  const foreign = completed(await system.event(other, "epoch.completed", 1)).object;
  await system.search.api.pauseSearch({ searchId: other });
  await system.trainersGone();
  const id = await system.begin(slowSpec());
  const { object } = completed(await system.event(id, "epoch.completed", 1));
  await system.inEpoch(id, 2);
  const query = { last_by_subj: manifestSubject(CHECKPOINTS_BUCKET, foreign) };
  const manifest = await readMessage(system.bus, objectStream(CHECKPOINTS_BUCKET), query, { what: foreign });
  const renamed = Buffer.from(manifest!.data).toString().replace(foreign, object);
  const options = { what: object, msgId: `${object}:foreign` };
  await store(system.bus, manifestSubject(CHECKPOINTS_BUCKET, object), Buffer.from(renamed), options);
  await system.killTrainer();
  const { reason, message } = await failure(id);
  expect(reason).toBe("OBJECT_CORRUPT");
  expect(message).toMatch(/^object CHECKPOINTS\/\S+ is corrupt: its (size|sha256) is \S+, must be \S+$/);
  await system.search.api.cancelSearch({ searchId: other, reason: "" });
});

it("a decision that calls open groups decided ends its search", async () => {
  const shrinking = system.stack.addresses().shrinking.pid;
  process.kill(shrinking, "SIGSTOP");
  try {
    const id = await system.begin(slowSpec());
    await system.event(id, "epoch.completed", 1);
    await publishEvent(system.bus, id, { type: "space.kept", data: { epoch: 1, converged: true } });
    process.kill(shrinking, "SIGCONT");
    expect(await failure(id)).toEqual({
      reason: "DECISION_INVALID",
      message: "the decision on an epoch calls groups decided that are not",
    });
  } finally {
    process.kill(shrinking, "SIGCONT");
  }
});

it("an event that the search has taken in already has no effect when it is published again with other content", async () => {
  const id = await system.begin(slowSpec());
  const stored = await system.event(id, "epoch.completed", 1);
  const { metrics, ...rest } = completed(stored);
  const again = {
    ...rest,
    metrics: { ...metrics!, validationMiou: 1 },
    checkpoint: { ...rest.checkpoint!, sha256: "" },
  };
  const attributes = { id: `${id}:again`, source: "test", searchId: id, time: new Date() };
  const bytes = encodeEvent({ type: "epoch.completed", data: again }, attributes);
  const options = { what: "an event", msgId: `${id}:again` };
  expect((await store(system.bus, eventSubject(id, "epoch.completed"), bytes, options)).duplicate).toBe(false);
  await system.killTrainer();
  const { state } = await system.ended(id);
  expect(SearchState[state]).toBe("SEARCH_STATE_SUCCEEDED");
  const decided = (await system.history(id)).filter(
    ({ event }) => epochOf(event) === 1 && event.type.startsWith("space."),
  );
  expect(decided).toHaveLength(1);
});
