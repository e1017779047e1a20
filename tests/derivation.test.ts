import { join } from "node:path";
import { WORK_STREAM } from "../shared/events/subjects";
import { ConditionStatus, SearchState } from "../shared/proto/lathe/v1/search";
import { Replicas } from "./replicas";
import { smallSpec } from "./specs";
import { childrenOf, isAlive, programOf } from "../shared/testing/processes";
import { until } from "../shared/testing/until";
import { System } from "./system";

/** The process that derives a search of this seed dies. */
const DEADLY = 666;

let system: System;
beforeAll(async () => {
  const env = { NODE_OPTIONS: `--require ${join(__dirname, "dies.cjs")}`, DIES_AT_SEED: String(DEADLY) };
  system = await System.start(env);
});
afterAll(() => system.stop());

/** The service's own process, or another replica of it. */
interface Replica {
  pid: number;
  http: string;
}
const own = (): Replica => system.stack.addresses().discretization;

/**
 * Process ids of a replica's derivations that already run their own program: a signal before that would block the service that starts
 * them.
 */
const derivations = ({ pid }: Replica) => childrenOf(pid).filter((child) => programOf(child).includes("worker"));

/** Process id of the next derivation of a replica. */
const derivation = (replica: Replica) =>
  until(
    () => derivations(replica),
    (pids) => pids.length > 0,
  ).then(([child]) => child!);

// The process of the test before may outlive its work for a moment, and would be taken for the next one.
beforeEach(() =>
  until(
    () => derivations(own()),
    (pids) => pids.length === 0,
  ),
);

/** Sends a signal; no effect where the process has just ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const names = async (id: string) => (await system.history(id)).map(({ event }) => event.type);
const noWork = () =>
  until(
    () => system.stream(WORK_STREAM),
    ({ messages }) => messages === 0,
  );

it("fails its search, with the cause, when its process dies each time, and another search is derived", async () => {
  const [ill, other] = [await system.begin(smallSpec({ seed: DEADLY })), await system.begin(smallSpec({ seed: 8 }))];
  const search = await system.ended(ill);
  expect(search.state).toBe(SearchState.SEARCH_STATE_FAILED);
  const condition = search.conditions.find(({ type }) => type === "Failed");
  expect(condition).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, reason: "WORKER_DIED" });
  expect(condition?.message).toMatch(/^worker worker \(pid \d+\) died: killed by SIGKILL/);
  const failure = (await system.history(ill)).find(({ event }) => event.type === "work.failed");
  expect(failure?.event.data).toMatchObject({ phase: "derive", deliveries: 3 });
  expect((await system.ended(other)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
});

it("is shared by two replicas", async () => {
  const second = await Replicas.start(system.stack.natsUrl, ["discretization"]);
  try {
    const replicas = [own(), second.addresses.discretization!] as const;
    const derived = async ({ http }: Replica) => {
      const text = await (await fetch(`http://${http}/metrics`)).text();
      return Number(/^nas_derivations_total\{outcome="succeeded"\} (\d+)$/m.exec(text)?.[1]);
    };
    const before = await derived(replicas[0]);
    const ids: string[] = [];
    for (let seed = 11; seed < 15; seed++) ids.push(await system.begin(smallSpec({ seed })));
    const busy = await until(
      () => replicas.find((replica) => derivations(replica).length > 0),
      (replica) => replica !== undefined,
    );
    const [held, free] = busy === replicas[0] ? replicas : [replicas[1], replicas[0]];
    const freeBefore = await derived(free);
    const stopped = new Set<number>();
    // The busy replica continues only after the free one has derived a network.
    await until(
      async () => {
        for (const pid of derivations(held)) {
          signal(pid, "SIGSTOP");
          stopped.add(pid);
        }
        return derived(free);
      },
      (count) => count > freeBefore,
    );
    for (const pid of stopped) signal(pid, "SIGCONT");
    for (const id of ids) expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    for (const id of ids) expect((await names(id)).filter((name) => name === "architecture.derived")).toHaveLength(1);
    const counts = [(await derived(replicas[0])) - before, await derived(replicas[1])];
    expect(counts[0]! + counts[1]!).toBe(4);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
  } finally {
    await second.stop();
  }
});

describe("while it runs", () => {
  /** A search whose derivation is stopped by SIGSTOP. */
  async function standing(seed: number): Promise<{ id: string; child: number }> {
    const id = await system.begin(smallSpec({ seed }));
    const child = await derivation(own());
    signal(child, "SIGSTOP");
    return { id, child };
  }

  it("ends at a cancellation, after which the network is derived once more, to be kept", async () => {
    const { id, child } = await standing(21);
    await system.search.api.cancelSearch({ searchId: id, reason: "enough" });
    await until(() => !isAlive(child));
    const { event } = await system.event(id, "network.kept");
    await noWork();
    expect((await names(id)).slice(-3)).toEqual(["supernet.converged", "search.cancelled", "network.kept"]);
    expect(event.data).toMatchObject({ phase: "derive", onnx: { kind: "derived.onnx" } });
  });

  it("ends at a pause, and is taken up again at the resumption", async () => {
    const { id, child } = await standing(22);
    await system.search.api.pauseSearch({ searchId: id });
    await until(() => !isAlive(child));
    await noWork();
    expect((await names(id)).slice(-2)).toEqual(["supernet.converged", "search.paused"]);
    await system.search.api.resumeSearch({ searchId: id });
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect((await names(id)).filter((name) => name === "architecture.derived")).toHaveLength(1);
  });
});
