import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SERVICES, startStack } from "../cli/stack/stack";
import { api as jetstream } from "../shared/events/jetstream";
import { CHECKPOINTS_BUCKET, EVENTS_STREAM, objectStream } from "../shared/events/subjects";
import { LatheError } from "../shared/process/errors";
import { HealthAlarmKind } from "../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchState, type Search } from "../shared/proto/lathe/v1/search";
import { AlgorithmKind, BudgetPolicy, DatasetKind, SamplingSpec, type SearchSpec } from "../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../shared/space/genotype";
import { resolve } from "../shared/spec/resolve";
import { writeImage, writeLabel, writeText } from "../shared/testing/pictures";
import { until } from "../shared/testing/until";
import { compiled } from "./compiled";
import { fileSpec, smallSpec } from "./specs";
import { newFolder, System } from "./system";

const root = newFolder();
/** A folder that the services may not open. */
const elsewhere = newFolder();

interface Outcome {
  code: number | null;
  lines: string[];
}

/** Runs a module of the product to its end; returns the text of both outputs. */
function run(module: string, args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [join(compiled(), module), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  return new Promise((resolve) =>
    child.once("close", (code) => resolve({ code, lines: text.split("\n").filter((line) => line !== "") })),
  );
}

let system: System;
/** All services start at once, because each waits ten seconds for the missing bus, and the command for the missing service. */
let withoutNats: Map<string, Promise<Outcome>>;
let withoutService: Promise<Outcome>;
beforeAll(async () => {
  system = await System.start({ LATHE_DATA_FOLDER: root });
  withoutNats = new Map(
    SERVICES.map((name) => [name, run(`services/${name}/main.js`, [], { LATHE_NATS_URL: "nats://127.0.0.1:1" })]),
  );
  withoutService = run("cli/lathe.js", ["search", "list", "--address", "127.0.0.1:1"]);
});
afterAll(async () => {
  await system.stop();
  for (const folder of [root, elsewhere]) rmSync(folder, { recursive: true });
});

function failure({ conditions, state }: Search): { reason: string; message: string } {
  expect(SearchState[state]).toBe("SEARCH_STATE_FAILED");
  const { reason = "", message = "" } = conditions.find(({ type }) => type === "Failed") ?? {};
  return { reason, message };
}

it("a spec with ten faults is refused with ten named fields, and nothing is stored", async () => {
  const faulty = smallSpec({
    dataset: { kind: DatasetKind.DATASET_KIND_STREETS, trainExamples: 0, validationExamples: 8 },
    space: { inputHeight: 36, inputWidth: 64, stemChannels: 1, classes: 7 },
    training: { epochs: 6, batchSize: 0, weightLearningRate: -1 },
    shrinking: { threshold: 2 },
    cost: { target: 1.5 },
    retraining: { dropout: 1 },
    profiling: { deviceClass: "GPU!" },
  });
  const refused = system.search.api.startSearch({ spec: faulty, requestId: "ten-faults" });
  const error = await refused.then(
    () => Promise.reject(new Error("the spec was taken")),
    (thrown: unknown) => LatheError.from(thrown),
  );
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "INVALID_SPEC" });
  expect(error.violations.map(({ field }) => field).sort()).toEqual([
    "cost.target",
    "dataset.train_examples",
    "profiling.device_class",
    "retraining.dropout",
    "shrinking.threshold",
    "space.classes",
    "space.input_height",
    "space.stem_channels",
    "training.batch_size",
    "training.weight_learning_rate",
  ]);
  for (const { description } of error.violations) expect(description).toMatch(/^is .+(must|leave it out)/);
  const { searches } = await system.search.api.listSearches({ pageSize: 0, pageToken: "", states: [], labels: {} });
  expect(searches).toEqual([]);
});

describe("a data set", () => {
  /** classes.txt, and two pairs of 32x64 in each split. */
  async function folder(name: string): Promise<string> {
    const path = join(root, name);
    await writeText(join(path, "classes.txt"), "road\nsky\ncar\n");
    for (const split of ["train", "validation"])
      for (const stem of ["a", "b", "c", "d"]) {
        await writeImage(join(path, split, "images", `${stem}.png`), 32, 64);
        await writeLabel(join(path, split, "labels", `${stem}.png`), 32, 64, [0, 1, 2, 255]);
      }
    return path;
  }

  it.each<[string, (path: string) => void | Promise<void>, RegExp, number?]>([
    ["that is not there", (path) => rmSync(path, { recursive: true }), /^dataset folder \S+missing-0\b.*/],
    [
      "with an empty split",
      (path) => {
        for (const kind of ["images", "labels"]) {
          rmSync(join(path, "validation", kind), { recursive: true });
          mkdirSync(join(path, "validation", kind));
        }
      },
      /^validation split \S+missing-1\/validation\/images is empty$/,
    ],
    [
      "with a corrupt image",
      (path) => writeFileSync(join(path, "train", "images", "b.png"), "no picture"),
      /missing-2\/train\/images\/b\.png/,
    ],
    ["with another number of classes", () => {}, /missing-3 has 3 classes, 5 expected/, 5],
    [
      "with an unknown label",
      (path) => writeLabel(join(path, "validation", "labels", "c.png"), 32, 64, [0, 9]),
      /^label \S+missing-4\/validation\/labels\/c\.png has the unknown value 9 at x 1, y 0 \(1024 pixels\): known are 0 to 2, 255; dataset\.label_values and/,
    ],
    [
      "with a label of another size",
      (path) => writeLabel(join(path, "train", "labels", "d.png"), 16, 64, [0]),
      /^label \S+missing-5\/train\/labels\/d\.png is 64x16, its image \S+ is 64x32: sizes must be equal$/,
    ],
    [
      "of masks of 0 and 255",
      async (path) => {
        for (const split of ["train", "validation"])
          for (const stem of ["a", "b", "c", "d"])
            await writeLabel(join(path, split, "labels", `${stem}.png`), 32, 64, [0, 255]);
      },
      /^dataset \S+missing-6: only class "road" has training pixels, .* if 255 is a class, say so in the spec/,
    ],
    [
      "without a labelled pixel of validation",
      async (path) => {
        for (const stem of ["a", "b", "c", "d"])
          await writeLabel(join(path, "validation", "labels", `${stem}.png`), 32, 64, [255]);
      },
      /^dataset \S+missing-7: the validation split has no labelled pixel; 100\.0 % /,
    ],
    [
      "smaller than a batch",
      () => {},
      /^training\.batch_size is 8, must be at most 4, the size of the training split$/,
      3,
    ],
  ])("%s fails the search before its first epoch, naming the file", async (what, spoil, message, classes = 3) => {
    const path = await folder(`missing-${count++}`);
    await spoil(path);
    const spec = fileSpec(DatasetKind.DATASET_KIND_FOLDER, path, classes);
    if (what === "smaller than a batch") spec.training!.batchSize = 8;
    const { search, history } = await system.run(spec);
    const reported = failure(search);
    expect(reported.message).toMatch(message);
    expect(reported.message).not.toContain("\n");
    if (what !== "smaller than a batch") expect(reported.reason).toBe("DATASET_INVALID");
    expect(history.map(({ event }) => event.type)).toEqual(["search.created", "work.failed", "search.failed"]);
  });
  let count = 0;

  it("whose labels lack a class is searched with an alarm before its first epoch, by each algorithm", async () => {
    const path = await folder("lacking");
    for (const split of ["train", "validation"])
      for (const stem of ["a", "b", "c", "d"])
        await writeLabel(join(path, split, "labels", `${stem}.png`), 32, 64, [0, 1]);
    for (const kind of ["SSR", "RANDOM", "EVOLUTION", "FIXED"] as const) {
      const spec = fileSpec(DatasetKind.DATASET_KIND_FOLDER, path, 3);
      const genotype = kind === "FIXED" ? largestGenotype(resolve(spec).space) : undefined;
      spec.algorithm = { kind: AlgorithmKind[`ALGORITHM_KIND_${kind}`], genotype };
      spec.sampling = SamplingSpec.fromPartial({ candidates: 2, evaluations: 2, population: 2, tournament: 1 });
      const { search, history } = await system.run(spec);
      const { HEALTH_ALARM_KIND_LABELS: labels } = HealthAlarmKind;
      const told = history.filter(({ event }) => event.type === "health.alarm.raised" && event.data.kind === labels);
      expect(told).toEqual([history[1]]);
      expect(search.conditions.find(({ type }) => type === "Labels")).toMatchObject({
        status: ConditionStatus.CONDITION_STATUS_FALSE,
        reason: "LABELS",
        message: 'class "car" has no pixel',
      });
    }
  });

  it("that is repaired after its search has failed is searched at a resumption", async () => {
    const path = await folder("repaired");
    const image = join(path, "train", "images", "b.png");
    writeFileSync(image, "no picture");
    const { search, history } = await system.run(fileSpec(DatasetKind.DATASET_KIND_FOLDER, path, 3));
    const { message } = failure(search);
    const resume = () => system.search.api.resumeSearch({ searchId: search.id });
    await resume();
    // Nothing was mended.
    const again = await until(
      () => system.get(search.id),
      ({ state }) => state === SearchState.SEARCH_STATE_FAILED,
    );
    expect({ ...failure(again), resumptions: again.resumptions }).toMatchObject({ message, resumptions: 1 });
    await writeImage(image, 32, 64);
    await resume();
    expect(SearchState[(await system.ended(search.id)).state]).toBe("SEARCH_STATE_SUCCEEDED");
    expect((await system.history(search.id)).slice(0, history.length)).toEqual(history);
    await expect(resume()).rejects.toMatchObject({ code: "FAILED_PRECONDITION", metadata: { state: "SUCCEEDED" } });
  });

  it.each(["there", "missing"])(
    "outside of LATHE_DATA_FOLDER (%s) fails the search without a word of it",
    async (name) => {
      const path = join(elsewhere, name);
      await writeText(join(elsewhere, "there/classes.txt"), "a secret");
      const { search } = await system.run(fileSpec(DatasetKind.DATASET_KIND_FOLDER, path, 3));
      expect(failure(search)).toMatchObject({
        reason: "DATASET_INVALID",
        message: `dataset folder ${path} is outside of the folders of LATHE_DATA_FOLDER`,
      });
    },
  );

  it("that is gone when its network is derived is waited for, and read once it is back", async () => {
    const path = await folder("moved");
    const { pid } = system.stack.addresses().discretization;
    process.kill(pid, "SIGSTOP");
    const id = await system.begin(fileSpec(DatasetKind.DATASET_KIND_FOLDER, path, 3));
    await system.event(id, "supernet.converged");
    renameSync(path, `${path}-away`);
    process.kill(pid, "SIGCONT");
    const waits = () => readFileSync(system.stack.logFile("discretization"), "utf8");
    await until(waits, (log) => log.includes("a work item waits for its data set") && log.includes(id));
    renameSync(`${path}-away`, path);
    expect(SearchState[(await system.ended(id)).state]).toBe("SEARCH_STATE_SUCCEEDED");
    expect((await system.history(id)).map(({ event }) => event.type)).not.toContain("work.failed");
  });

  it("that is complete is searched", async () => {
    const { search } = await system.run(fileSpec(DatasetKind.DATASET_KIND_FOLDER, await folder("whole"), 3));
    expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
  });
});

it("a search whose epochs end too early fails where its policy says so", async () => {
  const spec = smallSpec({
    training: { epochs: 2, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 1e-4 },
    shrinking: { firstEpoch: 2, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL },
  });
  const { search, history } = await system.run(spec);
  const { reason, message } = failure(search);
  expect(reason).toBe("NOT_CONVERGED");
  expect(message).toMatch(
    /^\d+ groups are undecided after epoch 2, the last: stage1\/depth \(2 left\), .+; raise training\.epochs or /,
  );
  expect(history.filter(({ event }) => event.type === "epoch.completed")).toHaveLength(2);
});

describe("storage that is full", () => {
  const info = (stream: string) => jetstream(system.bus, { what: stream }, ({ streams }) => streams.info(stream));
  async function limit(stream: string, bytes: number): Promise<void> {
    await jetstream(system.bus, { what: stream }, ({ streams }) => streams.update(stream, { max_bytes: bytes }));
  }

  it("stops a stack with an instruction, before nats-server has no room and stops answering", async () => {
    let free = 1e9;
    const small = await startStack({
      folder: newFolder(),
      services: join(compiled(), "services"),
      freeBytes: () => free,
    });
    try {
      free = 1e6;
      const error = await small.broken;
      expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "DISK_FULL" });
      expect(error.message).toBe(
        `the disk of ${small.folder} has 1 MB left, the stack needs 256 MB: free some space or choose another folder`,
      );
    } finally {
      await small.stop();
      rmSync(small.folder, { recursive: true });
    }
  });

  it("for files fails the search with an instruction, and the next one succeeds once there is room", async () => {
    await limit(objectStream(CHECKPOINTS_BUCKET), 20_000);
    const spec: SearchSpec = smallSpec();
    const { reason, message } = failure((await system.run(spec)).search);
    expect(reason).toBe("STORAGE_FULL");
    expect(message).toMatch(
      /^object CHECKPOINTS\/\S+: NATS storage is full \(.*\): free disk space, delete old searches or raise the limit$/,
    );
    // No process has died; the launcher may have reported the wait for room.
    expect(system.said.filter((line) => !/^(waiting|recovered): /.test(line))).toEqual([]);
    await limit(objectStream(CHECKPOINTS_BUCKET), -1);
    expect((await system.run(spec)).search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  });

  it("for events too makes the search wait, as the launcher reports, and go on once there is room", async () => {
    const id = await system.begin(smallSpec());
    await system.event(id, "epoch.completed", 1);
    // A limit below the present content would delete stored messages.
    await limit(EVENTS_STREAM, (await info(EVENTS_STREAM)).state.bytes + 100);
    const said = await until(
      () => system.said.find((line) => line.startsWith("waiting: event ")),
      (line) => line !== undefined,
    );
    expect(said).toMatch(
      / NATS storage is full \(.*\): free disk space, delete old searches or raise the limit \(.*\)$/,
    );
    expect((await system.get(id)).state).toBe(SearchState.SEARCH_STATE_RUNNING);
    await limit(EVENTS_STREAM, -1);
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(system.said.filter((line) => line.includes("died"))).toEqual([]);
  });
});

describe("without NATS", () => {
  it.each(SERVICES)("the %s service exits with a line that names the cause", async (name) => {
    const { code, lines } = await withoutNats.get(name)!;
    expect(code).toBe(1);
    const errors = lines.map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(errors.filter(({ level }) => level === "error").map(({ msg }) => msg)).toEqual([
      "cannot start: NATS at nats://127.0.0.1:1 is not reachable (ECONNREFUSED)",
    ]);
  });
});

it("the command line names the service that does not answer", async () => {
  const { code, lines } = await withoutService;
  expect(code).toBe(5);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^lathe: .*search service.*127\.0\.0\.1:1/);
});
