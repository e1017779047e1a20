import { SERVICES, type ServiceName } from "../cli/stack/stack";
import type { EventName, StoredEvent } from "../shared/events/catalog";
import { api as jetstream, readMessage, store } from "../shared/events/jetstream";
import { DURABLES, EVENTS_STREAM, WORK_STREAM } from "../shared/events/subjects";
import { ConditionStatus, SearchState, type Search } from "../shared/proto/lathe/v1/search";
import { isAlive } from "../shared/testing/processes";
import { until } from "../shared/testing/until";
import { nameOf, outcome } from "./outcome";
import { slowSpec, smallSpec } from "./specs";
import { System } from "./system";

let system: System;
/** The outcome of every search, whatever happens to its processes. */
let undisturbed: unknown[];
let record: Search;
// Train, derive, retrain and profile.
const workItems = 4;
beforeAll(async () => {
  system = await System.start();
  const { search, history } = await system.run(smallSpec());
  record = search;
  undisturbed = outcome(history);
});
afterAll(() => system.stop());

/** Runs the search, disturbs it as soon as an event is stored, and returns the outcome. */
async function disturbed(name: EventName, epoch: number | undefined, harm: (id: string) => void | Promise<void>) {
  const id = await system.begin(smallSpec());
  await system.event(id, name, epoch);
  await harm(id);
  const search = await system.ended(id);
  expect(search.conditions.find(({ type }) => type === "Failed")).toBeUndefined();
  return { search, history: await system.history(id) };
}

const restarted = (service: ServiceName, before: number) =>
  until(
    () => system.stack.addresses()[service].pid,
    (pid) => pid !== before,
  );

describe("SIGKILL", () => {
  it.each<[ServiceName, EventName, number | undefined]>([
    ["search", "epoch.completed", 2],
    ["shrinking", "epoch.completed", 3],
    ["supernet", "epoch.completed", 4],
    ["supernet", "retraining.epoch.completed", 1],
    ["discretization", "supernet.converged", undefined],
    ["latency", "network.trained", undefined],
  ])("of the %s service right after %s changes nothing", async (service, name, epoch) => {
    const { pid } = system.stack.addresses()[service];
    const { history } = await disturbed(name, epoch, () => system.stack.kill(service));
    await restarted(service, pid);
    expect(isAlive(pid)).toBe(false);
    expect(outcome(history)).toEqual(undisturbed);
  });

  it("of nats-server in the middle of training changes nothing", async () => {
    const nats = system.stack.pids()[0]!;
    const { history } = await disturbed("epoch.completed", 2, () => system.stack.kill("nats"));
    expect(system.stack.pids()[0]).not.toBe(nats);
    expect(outcome(history)).toEqual(undisturbed);
  });
});

describe("the training process", () => {
  let plain: unknown[];
  it("is replaced when it is killed in the middle of an epoch, and the result is the same", async () => {
    const spec = slowSpec();
    plain = outcome((await system.run(spec)).history);
    const id = await system.begin(spec);
    await system.inEpoch(id, 2);
    await system.killTrainer();
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(outcome(await system.history(id))).toEqual(plain);
  });

  it("fails its search, with the cause, when it dies each time; a resumption leads to the same result", async () => {
    const id = await system.begin(slowSpec());
    await system.inEpoch(id, 2);
    let deaths = 0;
    const killing = setInterval(() => {
      for (const pid of system.trainers()) {
        process.kill(pid, "SIGKILL");
        deaths++;
      }
    }, 200);
    try {
      const search = await system.ended(id);
      expect(search.state).toBe(SearchState.SEARCH_STATE_FAILED);
      const failed = search.conditions.find(({ type }) => type === "Failed");
      expect(failed).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, reason: "WORKER_DIED" });
      expect(failed?.message).toMatch(/^worker worker \(pid \d+\) died: killed by SIGKILL/);
      expect(deaths).toBeGreaterThanOrEqual(3);
    } finally {
      clearInterval(killing);
    }
    const { search } = await system.search.api.resumeSearch({ searchId: id });
    expect(search).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1 });
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const history = await system.history(id);
    const names = history.map(nameOf);
    expect(names.indexOf("epoch.completed 1")).toBeLessThan(names.indexOf("search.failed"));
    expect(outcome(history.filter(({ event }) => !/^(work|search)\.failed$/.test(event.type)))).toEqual(plain);
  });
});

describe("events that are delivered twice", () => {
  /** The record without ids and times. */
  const comparable = ({ conditions, ...rest }: Search) => {
    const { state, phase, lastEpoch, candidatesLeft, resumptions, retrainingEpoch, result } = rest;
    const kinds = rest.artifacts.map(({ kind }) => kind);
    const { seconds: _, peakMemoryBytes: __, estimatedMemoryBytes: ___, ...epoch } = lastEpoch!;
    const { genotype, supernetMiou, discreteMiou, retrainedMiou, figures, classScores } = result!;
    return {
      ...{ state, phase, epoch, candidatesLeft, resumptions, retrainingEpoch, kinds },
      ...{ genotype, supernetMiou, discreteMiou, retrainedMiou, figures, classScores, left: result!.candidatesLeft },
      // The message of "Profiled" is a measured time, and "Latency" is there on a busy machine.
      conditions: conditions
        .filter(({ type }) => type !== "Latency")
        .map(({ type, status, reason, message }) => [
          ...[type, status, reason],
          ...(type === "Profiled" ? [] : [message]),
        ]),
    };
  };

  async function again({ sequence }: StoredEvent, msgId: string): Promise<boolean> {
    const message = await readMessage(system.bus, EVENTS_STREAM, { seq: sequence }, { what: "event" });
    const options = { what: "the same event", msgId };
    return (await store(system.bus, message!.subject, message!.data, options)).duplicate;
  }

  it("are stored once under one message id", async () => {
    const { last } = await system.stream(EVENTS_STREAM);
    for (const stored of await system.history(record.id)) {
      const message = await readMessage(system.bus, EVENTS_STREAM, { seq: stored.sequence }, { what: "event" });
      const { id } = JSON.parse(Buffer.from(message!.data).toString()) as { id: string };
      expect(await again(stored, id)).toBe(true);
    }
    expect((await system.stream(EVENTS_STREAM)).last).toBe(last);
  });

  it("change nothing where the same fact is stored twice, also for a worker that starts from that history", async () => {
    const before = (await system.stream(WORK_STREAM)).last;
    const id = await system.begin(smallSpec());
    const repeated: EventName[] = ["epoch.completed", "space.kept", "space.shrunk", "supernet.converged"];
    const later: EventName[] = ["architecture.derived", "retraining.epoch.completed", "network.trained"];
    await system.event(id, "epoch.completed", 3);
    // The oldest last: an old event must never count as new.
    const early = (await system.history(id)).filter(({ event }) => repeated.includes(event.type)).reverse();
    for (const stored of early) await again(stored, `${id}-again-${stored.sequence}`);
    // The next worker finds old epochs after newer ones in the history.
    system.stack.kill("supernet");
    await system.event(id, "network.trained");
    const all = (await system.history(id))
      .filter(({ event }) => [...repeated, ...later].includes(event.type))
      .reverse();
    for (const stored of all) await again(stored, `${id}-later-${stored.sequence}`);
    const search = await system.ended(id);
    const history = await system.history(id);
    const first = history.filter((stored, at) => history.findIndex((one) => nameOf(one) === nameOf(stored)) === at);
    expect(first.length).toBeLessThan(history.length);
    expect(outcome(first)).toEqual(undisturbed);
    expect(comparable(search)).toEqual(comparable(record));
    expect((await system.stream(WORK_STREAM)).last - before).toBe(workItems);
  });

  it("change nothing when no acknowledgement has arrived and every event is delivered again", async () => {
    const before = { records: await system.get(record.id), work: (await system.stream(WORK_STREAM)).last };
    const history = await system.history(record.id);
    const { last } = await system.stream(EVENTS_STREAM);
    for (const durable of Object.values(DURABLES))
      await jetstream(system.bus, { what: durable }, ({ consumers }) => consumers.delete(EVENTS_STREAM, durable));
    const id = await system.begin(smallSpec());
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    // Events are delivered in order, so the projection has taken in all earlier ones.
    expect(await system.get(record.id)).toEqual(before.records);
    expect(await system.history(record.id)).toEqual(history);
    expect((await system.stream(EVENTS_STREAM)).last - last).toBe(undisturbed.length);
    expect((await system.stream(WORK_STREAM)).last - before.work).toBe(workItems);
  });
});

it("each service has been restarted, none was given up", () => {
  for (const name of [...SERVICES.map((service) => `${service} service`), "nats-server"])
    expect(system.said.some((line) => line.startsWith(`${name} died (killed by SIGKILL); restarting it`))).toBe(true);
});
