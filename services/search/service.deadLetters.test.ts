import { readMessage } from "../../shared/events/jetstream";
import { EVENTS_STREAM, eventSubject } from "../../shared/events/subjects";
import { SearchState } from "../../shared/proto/lathe/v1/search";
import { until } from "../../shared/testing/until";
import { made, bus, api, failure, begin, inState, publish } from "./service.fixture";

describe("a message that is no event", () => {
  const letters = async () => (await api.listDeadLetters({ pageSize: 200, fromSequence: 0 })).deadLetters;

  it("moves to the dead letters with its cause; searches go on, and the one that its subject names does not fail", async () => {
    const { id } = await begin();
    const poison: Record<string, string> = {
      [eventSubject(id, "epoch.completed")]: "no envelope",
      [`lathe.events.${id}.no.such.event`]: JSON.stringify({ specversion: "1.0", type: "lathe.v1.no.such.event" }),
      "lathe.events.BAD_Id.search.created": "\u0000\u00ff",
      "lathe.events.unknown-id.search.created": "[]",
    };
    for (const [subject, text] of Object.entries(poison)) await bus.connection.request(subject, text);
    await publish(id, made.epoch(1));
    await inState(id, SearchState.SEARCH_STATE_RUNNING);
    const found = await until(letters, (seen) =>
      Object.keys(poison).every((each) => seen.some(({ subject }) => subject === each)),
    );
    for (const [subject, text] of Object.entries(poison)) {
      const { sequence, ...letter } = found.find((each) => each.subject === subject)!;
      expect(letter).toMatchObject({
        stream: "EVENTS",
        consumer: "search-projection",
        reason: "ENVELOPE_MALFORMED",
        attempts: 1,
      });
      const { deadLetter } = await api.getDeadLetter({ sequence });
      expect(Buffer.from(deadLetter!.data).toString()).toBe(text);
      await until(
        async () =>
          (await readMessage(bus, EVENTS_STREAM, { seq: letter.messageSequence }, { what: "it" })) === undefined,
      );
      await api.dropDeadLetter({ sequence });
      await api.dropDeadLetter({ sequence });
      expect(await failure(api.getDeadLetter({ sequence }))).toMatchObject({
        code: "NOT_FOUND",
        reason: "DEAD_LETTER_NOT_FOUND",
      });
    }
    expect((await letters()).filter(({ subject }) => subject in poison)).toEqual([]);
    expect((await api.getSearch({ searchId: id })).search?.conditions.map(({ type }) => type)).not.toContain("Failed");
  });

  it("is listed page by page, and a wrong page size or sequence is refused by name", async () => {
    for (const n of [1, 2, 3]) await bus.connection.request(`lathe.events.BAD_${n}.search.created`, "x");
    const mine = (all: { subject: string }[]) => all.filter(({ subject }) => /BAD_[123]/.test(subject)).length;
    const { total } = await until(
      () => api.listDeadLetters({ pageSize: 200, fromSequence: 0 }),
      (page) => mine(page.deadLetters) === 3,
    );
    const sequences: number[] = [];
    for (let from = 0, first = true; first || from > 0; first = false) {
      const { deadLetters, nextFromSequence } = await api.listDeadLetters({ pageSize: 1, fromSequence: from });
      sequences.push(...deadLetters.map(({ sequence }) => sequence));
      from = nextFromSequence;
    }
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
    expect(sequences).toHaveLength(total);
    for (const [call, field] of [
      [api.listDeadLetters({ pageSize: 201, fromSequence: 0 }), "page_size"],
      [api.getDeadLetter({ sequence: 0 }), "sequence"],
      [api.dropDeadLetter({ sequence: 0 }), "sequence"],
    ] as const)
      expect(await failure(call as Promise<unknown>)).toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: [{ field }],
      });
  });
});
