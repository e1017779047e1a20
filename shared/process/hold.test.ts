import { join } from "node:path";
import { patience, until } from "../testing/until";
import type { TestJob } from "../testing/workerJobs";
import { children } from "./hold";
import { startWorker } from "./worker";

const dir = join(__dirname, "../testing");
const worker = startWorker<TestJob, number>({ dir, name: "workerJobs" });

afterEach(() => children.release());

/** A child that counts its steps until the test aborts it. */
function stepping() {
  const ending = new AbortController();
  const child = { steps: 0, end: () => ending.abort(new Error("the test ends it")), ended: Promise.resolve("") };
  child.ended = worker
    .run({ do: "take steps" }, { signal: ending.signal, onMessage: (step) => void (child.steps = step) })
    .then(
      () => "done",
      (error: Error) => error.message,
    );
  return child;
}

it("children stand still between two steps while they are held, and go on afterwards", async () => {
  const both = [stepping(), stepping()];
  for (const child of both) await until(() => child.steps > 0);
  expect(children.computing).toBe(2);
  await new Promise<void>((still) => children.hold(() => children.computing === 0 && still()));
  const [first, second] = both.map(({ steps }) => steps);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(both.map(({ steps }) => steps)).toEqual([first, second]);

  children.release();
  for (const [index, child] of both.entries()) await until(() => child.steps > [first, second][index]!);
  expect(children.computing).toBe(2);
  for (const child of both) child.end();
  for (const child of both) expect(await child.ended).toContain("the test ends it");
  expect(children.computing).toBe(0);
});

it("a held child can be aborted", async () => {
  const child = stepping();
  await until(() => child.steps > 0);
  const changes: number[] = [];
  children.hold(() => changes.push(children.computing));
  await until(() => children.computing === 0);
  child.end();
  expect(await child.ended).toContain("the test ends it");
  expect(changes.at(-1)).toBe(0);
});

it("no child is started while the children are held, and a job that waits can be aborted", async () => {
  children.hold(() => {});
  const waits = stepping();
  const givenUp = stepping();
  givenUp.end();
  expect(await givenUp.ended).toContain("the test ends it");
  expect([children.computing, worker.pids().length]).toEqual([0, 0]);
  children.release();
  await until(() => waits.steps > 0);
  waits.end();
  await waits.ended;
  await children.released(patience());
});
