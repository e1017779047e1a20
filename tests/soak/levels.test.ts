import { leftovers, type Level } from "./levels";

const level = (when: string, search: number, nats: number, store: number, messages: number): Level => ({
  when,
  memory: { "search 1": search, nats },
  store,
  messages: { EVENTS: messages },
});

it("memory of a service, files and messages that are left are deviations, the cache of nats-server is none", () => {
  const [start, warm] = [level("start", 98, 16, 0, 0), level("after 10", 94, 44, 5, 139)];
  const sound = { from: warm, to: level("after 200", 105, 85, 96, 3092) };
  expect(leftovers(start, level("all deleted", 118, 63, 0.1, 0), sound)).toEqual([]);
  const grown = { from: warm, to: level("after 200", 112, 85, 96, 3092) };
  expect(leftovers(start, level("all deleted", 118, 63, 2, 3), grown)).toEqual([
    "EVENTS has 3 messages, at the start 0",
    "the store has 2.0 MiB, at the start 0.0, at most 1 more may be",
    "search 1 has 112 MiB after 200, 94 after 10, at most 111 may be",
  ]);
});
