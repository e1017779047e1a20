import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { startCommand, type Command } from "./latheCommand";
import { endlessSpec, longSpec, smallSpec } from "./specs";
import { newFolder } from "./system";

const folder = newFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const started: Command[] = [];
afterEach(() => started.splice(0).forEach(({ child }) => child.kill("SIGKILL")));

function lathe(...args: string[]): Command {
  return latheWith({}, ...args);
}

function latheWith(settings: Record<string, string>, ...args: string[]): Command {
  const command = startCommand(folder, args, settings);
  started.push(command);
  return command;
}

const lines = (...path: string[]) => {
  const file = join(folder, ...path);
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
};

it("a run that was killed is named by the next one, and continued in its folder with its whole history", async () => {
  writeFileSync(join(folder, "spec.yaml"), JSON.stringify(SearchSpec.toJSON(longSpec())));
  const out = join(folder, "out");

  const first = lathe("run", "-f", "spec.yaml", "--out", "out");
  await first.before(() => lines("out", "epochs.csv").length >= 2);
  const id = /search (s-\w+) created/.exec(first.said.stdout)?.[1];
  first.child.kill("SIGKILL");
  await first.ended;

  const second = lathe("run", "-f", "spec.yaml", "--out", "out");
  const named = `${out} holds an unfinished run; to continue that one: lathe run --resume ${out}\n`;
  await second.before(() => second.said.stdout.includes("starting the local stack"));
  expect(second.said.stdout).toContain(named);
  second.child.kill("SIGINT");
  expect(await second.ended).toBe(4);

  const refused = lathe("run", "--resume", "out", "--preset", "tiny");
  expect(await refused.ended).toBe(2);
  expect(refused.said.stderr).toContain("leave out --preset");

  const third = lathe("run", "--resume", "out", "--json");
  expect({ code: await third.ended, stderr: third.said.stderr }).toMatchObject({ code: 0 });
  const result = JSON.parse(third.said.stdout) as { search: string; files: string[]; folder: string };
  expect(result).toMatchObject({ search: id, folder: out });
  expect(result.files).toEqual(expect.arrayContaining(["epochs.csv", "history.jsonl", "network.onnx", "result.json"]));
  const events = lines("out", "history.jsonl").map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.filter((event) => "searchCreated" in event)).toHaveLength(1);
  expect(events.at(-1)).toHaveProperty("searchSucceeded");
  // A head, then an epoch a row: four of the search, two of retraining.
  expect(
    lines("out", "epochs.csv")
      .slice(1)
      .map((row) => row.split(",").slice(0, 2).join(" ")),
  ).toEqual([...["search 1", "search 2", "search 3", "search 4"], ...["retraining 1", "retraining 2"]]);
  expect([existsSync(join(out, "request.json")), existsSync(join(out, "nats"))]).toEqual([false, false]);

  const again = lathe("run", "--resume", "out");
  expect(await again.ended).toBe(2);
  expect(again.said.stderr).toContain("this is not the folder of an interrupted or failed run");
});

it("a run whose search has failed keeps it, and resumes it once the cause is mended", async () => {
  writeFileSync(join(folder, "small.yaml"), JSON.stringify(SearchSpec.toJSON(smallSpec())));
  const out = join(folder, "failed");

  const first = latheWith({ LATHE_TRAINING_MEMORY: "1" }, "run", "-f", "small.yaml", "--out", "failed");
  expect(await first.ended).toBe(3);
  const id = /search (s-\w+) created/.exec(first.said.stdout)?.[1];
  expect(first.said.stderr).toContain(`search ${id} failed: MEMORY_EXCEEDED`);
  expect(first.said.stderr).toContain(
    `to continue it once the cause is mended: lathe run --resume ${out}; to delete it, remove the folder`,
  );

  const second = lathe("run", "--resume", "failed", "--json");
  expect({ code: await second.ended, stderr: second.said.stderr }).toMatchObject({ code: 0 });
  expect(JSON.parse(second.said.stdout)).toMatchObject({ search: id, folder: out });
  const events = lines("failed", "history.jsonl").map((line) => JSON.parse(line) as Record<string, unknown>);
  const ends = ["searchCreated", "searchFailed", "searchResumed", "searchSucceeded"];
  expect(events.flatMap((event) => ends.filter((end) => end in event))).toEqual(ends);
  expect([existsSync(join(out, "request.json")), existsSync(join(out, "nats"))]).toEqual([false, false]);
});

it("a run whose search is cancelled ends with the network so far in its folder", async () => {
  writeFileSync(join(folder, "spec.yaml"), JSON.stringify(SearchSpec.toJSON(endlessSpec())));
  const out = join(folder, "cancelled");
  const run = lathe("run", "-f", "spec.yaml", "--out", "cancelled");
  await run.before(() => lines("cancelled", "epochs.csv").length >= 2);
  const id = /search (s-\w+) created/.exec(run.said.stdout)![1]!;
  const cancel = lathe("search", "cancel", id, "--state", "cancelled");
  expect({ code: await cancel.ended, stderr: cancel.said.stderr }).toMatchObject({ code: 0 });
  expect(await run.ended).toBe(4);
  expect(run.said.stderr).toMatch(
    new RegExp(
      `^lathe: search ${id} was cancelled; kept: the argmax of the supernet after epoch \\d+ of 300, at .* points\n$`,
    ),
  );
  expect(run.said.stdout).toMatch(/^kept: the argmax of the supernet after epoch/m);
  expect(run.said.stdout).toMatch(/^files in .*derived\.onnx.*genotype\.json.*result\.json/m);
  const result = JSON.parse(readFileSync(join(out, "result.json"), "utf8")) as Record<string, unknown>;
  expect(result).toMatchObject({ search: id, decidedBy: "DECIDED_BY_ARGMAX" });
  expect(result.kept).toMatch(/^the argmax of the supernet after epoch/);
  expect(lines("cancelled", "history.jsonl").at(-1)).toContain('"networkKept"');
  for (const file of ["derived.onnx", "derived.weights", "genotype.json"])
    expect(existsSync(join(out, file))).toBe(true);
  for (const gone of ["nats", "request.json"]) expect(existsSync(join(out, gone))).toBe(false);
});
