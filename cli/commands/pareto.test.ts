import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { succeeded } from "../../services/search/pareto.fixture";
import { address, api, begin } from "../../services/search/service.fixture";
import { LatheError } from "../../shared/process/errors";
import { ListParetoFrontsResponse } from "../../shared/proto/lathe/v1/search";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { paretoCommand } from "./pareto";

const folder = mkdtempSync(join(tmpdir(), "lathe-pareto-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => jest.restoreAllMocks());

/** The output of `lathe pareto`. */
async function pareto(...args: string[]): Promise<{ out: string; err: string }> {
  const said = { out: "", err: "" };
  const note = (key: keyof typeof said) => (text: unknown) => {
    said[key] += String(text);
    return true;
  };
  jest.spyOn(process.stdout, "write").mockImplementation(note("out"));
  jest.spyOn(process.stderr, "write").mockImplementation(note("err"));
  const program = new Command("lathe").exitOverride();
  paretoCommand(program);
  try {
    await program.parseAsync(["pareto", ...args], { from: "user" });
  } finally {
    jest.restoreAllMocks();
  }
  return said;
}
const json = async (...args: string[]) =>
  ListParetoFrontsResponse.fromJSON(JSON.parse((await pareto(...args, "--json")).out));
const frontOf = ({ fronts: [front] }: ListParetoFrontsResponse) =>
  front?.points.map(({ searchId, dominatedBy }) => (dominatedBy ? `${searchId} < ${dominatedBy}` : searchId));

/** Writes the result folder of a search as `lathe run` does, from the record of the service. */
async function resultFolder(
  searchId: string,
  name: string,
  change: (json: Record<string, unknown>) => void = () => {},
) {
  const { search } = await api.getSearch({ searchId });
  const content = {
    ...{ search: searchId, ...(SearchResult.toJSON(search!.result!) as object) },
    ...{ spec: SearchSpec.toJSON(search!.spec!) },
  };
  change(content);
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "result.json"), JSON.stringify(content));
  return path;
}

describe("lathe pareto", () => {
  it("compares the ended searches of a service, of which it leaves out what has no network", async () => {
    const service = ["--address", address()];
    const labels = { team: "service" };
    const fast = await succeeded({ miou: 0.4, ms: 10 }, labels);
    const good = await succeeded({ miou: 0.6, ms: 20 }, { ...labels, name: "good" });
    const worse = await succeeded({ miou: 0.5, ms: 30 }, labels);
    const gone = (await begin({ labels })).id;
    await api.cancelSearch({ searchId: gone, reason: "" });
    const { out } = await pareto("--label", "team=service", ...service);
    expect(out).toContain(
      "latency  a processor (cpu, key abababababab), onnxruntime-node, fp32, batch 1, 64x128, 1 thread\n" +
        "         calibrated p50, at 1.00 ms of the calibration network\n",
    );
    expect(out).toMatch(new RegExp(`A  ${fast} .* 40\\.0 %[^]*B  ${good}  good .*[^]*c  ${worse} .* B good\n`));
    expect(out).toMatch(new RegExp(`left out:\n  ${gone}  NO_NETWORK: the search is CANCELLED and has no network\n`));
    expect(frontOf(await json(worse, good, ...service))).toEqual([good, `${worse} < ${good}`]);
    const limited = await pareto("--label", "team=service", "--limit", "1", ...service);
    expect(limited.err).toContain("3 older searches were not read: --limit");
    expect((await pareto("--label", "team=service", "--threads", "7", ...service)).err).toMatch(/^no searches found/);
  });

  it("compares result folders without a service, and with searches of one", async () => {
    const labels = { team: "folders" };
    const ids: string[] = [];
    for (const [miou, ms] of [
      [0.4, 10],
      [0.6, 20],
      [0.5, 30],
    ] as const)
      ids.push(await succeeded({ miou, ms }, labels));
    const [fast, good, worse] = ids as [string, string, string];
    const runs = join(folder, "runs");
    await resultFolder(fast, "runs/fast");
    await resultFolder(worse, "runs/worse");
    const kept = await resultFolder(good, "kept", (content) => delete content.latency);
    const nothing = ["--address", "127.0.0.1:1"];
    expect(frontOf(await json(runs, ...nothing))).toEqual([fast, worse]);
    // A search that is named twice is one point.
    const both = await json(runs, join(runs, "fast"), good, fast, "--address", address());
    expect(frontOf(both)).toEqual([fast, good, `${worse} < ${good}`]);
    expect((await json(runs, kept, ...nothing)).leftOut).toMatchObject([{ name: "kept", reason: "NO_LATENCY" }]);
    expect((await json(runs, "--input", "64x64", ...nothing)).leftOut).toMatchObject([
      ...[{ name: "fast", reason: "OTHER_SETTINGS" }, { name: "worse" }],
    ]);
  });

  it("writes a plot for each front of two points or more", async () => {
    const labels = { team: "plots" };
    const runs = join(folder, "plots");
    for (const [index, device] of ["one", "one", "two", "two", "three"].entries()) {
      const id = await succeeded({ miou: 0.4 + index / 10, ms: 10 + index, device }, labels);
      await resultFolder(id, `plots/${index}`);
    }
    const file = join(folder, "out", "plot.svg");
    const { out } = await pareto(runs, "--svg", file);
    const second = join(folder, "out", "plot-2.svg");
    expect(out.trimEnd().split("\n").slice(-2)).toEqual([file, second]);
    expect([file, second].map((path) => readFileSync(path, "utf8").match(/1 thread, (one|two)/)?.[1]).sort()).toEqual([
      ...["one", "two"],
    ]);
    expect((await pareto(join(runs, "4"), "--svg", file)).err).toMatch(/^no plot was written/);
  });

  it.each([
    [["S_1"], /^"S_1" is neither a folder nor the id of a search$/],
    [["--dataset", "voc"], /^--dataset is "voc", must be one of streets, camvid/],
    [[join(tmpdir(), "lathe", "none")], /is neither a folder nor the id of a search/],
  ])("is refused for %j", async (args, message) => {
    const failure: unknown = await pareto(...args, "--address", address()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) as string });
  });

  it("names the folder that has no result, or one that cannot be read", async () => {
    const failed = (path: string) => pareto(path).catch((error: unknown) => error as LatheError);
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect(await failed(empty)).toMatchObject({
      reason: "NO_RESULT",
      message: `${empty} has no result.json, nor has a folder in it`,
    });
    for (const text of ["{", "[1]", "null", '{"decidedBy":"NO_SUCH"}', '{"spec":{"dataset":{"kind":"x"}}}']) {
      writeFileSync(join(empty, "result.json"), text);
      const { leftOut } = await json(empty).catch((error: LatheError) => {
        expect(error.message).toMatch(/result\.json cannot be read as the result of a search/);
        return { leftOut: [{ reason: "UNREADABLE" }] };
      });
      expect(leftOut).toHaveLength(1);
    }
  });
});
