import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "../shared/testing/until";
import { compiled } from "./compiled";
import { longSpec } from "./specs";
import { newFolder, System } from "./system";

/** Occupies a port and closes every connection to it. */
async function occupy(address: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen(Number(address.split(":").at(-1)), "127.0.0.1");
  await once(server, "listening");
  return server;
}

it("`search watch` continues after its stack was stopped and started again on other ports", async () => {
  const folder = newFolder();
  const first = await System.start({}, folder);
  const before = first.stack.addresses().search.grpc;
  const id = await first.begin(longSpec());

  const { LATHE_ADDRESS: _, ...env } = process.env;
  const command = [join(compiled(), "cli", "lathe.js"), "search", "watch", id, "--json"];
  const watch = spawn(process.execPath, [...command, "--state", folder], { env });
  const sequences: number[] = [];
  createInterface(watch.stdout).on("line", (line) => {
    // Sequences are strings in JSON, as 64-bit numbers; progress has sequence 0, which is omitted.
    const { sequence } = JSON.parse(line) as { sequence?: string };
    if (sequence !== undefined) sequences.push(Number(sequence));
  });
  let complaints = "";
  watch.stderr.on("data", (text: Buffer) => (complaints += text.toString()));
  const ended = once(watch, "close");

  await first.event(id, "epoch.completed", 1);
  await until(
    () => sequences.length,
    (count) => count > 0,
  );
  // A search that waits for a trainer cannot end before its stack is stopped.
  await first.search.api.pauseSearch({ searchId: id });
  const reportFile = join(folder, "reports", "paused.html");
  const report = [...command.slice(0, 2), "report", id, "--out", reportFile, "--state", folder];
  expect(await once(spawn(process.execPath, report, { env }), "close")).toEqual([0, null]);
  expect(readFileSync(reportFile, "utf8")).toMatch(/Search s-\w+: paused\.[^]*Losses in the search/);
  await first.stop({ keepFolder: true });
  const occupied = await occupy(before);
  const second = await System.start({}, folder);
  try {
    expect(second.stack.addresses().search.grpc).not.toBe(before);
    await second.search.api.resumeSearch({ searchId: id });
    await second.ended(id);
    expect({ exit: (await ended)[0] as unknown, complaints }).toEqual({
      exit: 0,
      complaints: expect.stringMatching(/^connection lost, retrying: [^\n]*\n$/) as string,
    });
    expect(sequences).toEqual((await second.history(id)).map(({ sequence }) => sequence));
    const out = join(folder, "result");
    const result = spawn(process.execPath, [...command.slice(0, 2), "result", id, "--out", out, "--state", folder], {
      env,
    });
    expect(await once(result, "close")).toEqual([0, null]);
    const lines = (name: string) => readFileSync(join(out, name), "utf8").trim().split("\n");
    const written = lines("history.jsonl").map((line) => Number((JSON.parse(line) as { sequence: string }).sequence));
    expect(written).toEqual(sequences);
    expect(lines("epochs.csv")).toHaveLength(1 + 4 + 2);
    expect(lines("report.html").join("\n")).toMatch(
      /Search s-\w+: succeeded\.[^]*<h2>The network<\/h2>[^]*data:image\/png/,
    );
  } finally {
    watch.kill("SIGKILL");
    occupied.close();
    await second.stop();
  }
});
