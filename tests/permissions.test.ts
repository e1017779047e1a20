import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { headers as newHeaders } from "nats";
import { startGuard } from "../cli/stack/guard";
import { serviceProcess, SERVICES, type ServiceName } from "../cli/stack/stack";
import { takeStateFolder } from "../cli/stack/state";
import { connect as connectBus } from "../shared/events/bus";
import type { LatheError } from "../shared/process/errors";
import { SearchServiceClient, SearchState } from "../shared/proto/lathe/v1/search";
import { connect } from "../shared/rpc/client";
import { quiet } from "../shared/testing/bus";
import { startNats, type TestNats } from "../shared/testing/nats";
import { compiled } from "./compiled";
import { smallSpec } from "./specs";
import { PATIENCE_MS, until } from "../shared/testing/until";
import { newFolder, SERVICE_ENV } from "./system";

const passwords = Object.fromEntries(SERVICES.map((name) => [name, randomBytes(12).toString("hex")]));
const conf = join(__dirname, "..", "deploy", "nats", "permissions.conf");

/** The file for an installation with a prefix, by the command in its own comment. */
function withPrefix(prefix: string): string {
  const text = readFileSync(conf, "utf8");
  const script = /^#\s+sed -E '([^']+)' deploy\/nats\/permissions\.conf$/m.exec(text)?.[1] ?? "";
  return execFileSync("sed", ["-E", script.replaceAll("team-a", prefix), conf], { encoding: "utf8" });
}

const probes = {
  "an event of another": ["lathe.events.doctor.search.cancelled", "lathe.events.doctor.space.kept"],
  work: [
    "lathe.work.train.doctor",
    "lathe.work.derive.doctor",
    "lathe.work.keep.doctor",
    "$JS.API.STREAM.MSG.DELETE.WORK",
  ],
  records: ["$KV.SEARCHES.doctor", "$KV.LISTING.doctor", "$KV.REQUESTS.doctor"],
  progress: ["lathe.progress.doctor"],
  "the workers that are alive": ["$KV.DEVICES.doctor"],
  checkpoints: ["$O.CHECKPOINTS.C.doctor"],
  networks: ["$O.ARTIFACTS.C.doctor"],
  "the trainer's queue": ["$JS.API.CONSUMER.MSG.NEXT.WORK.work-train", "$JS.ACK.WORK.work-train.1.1.1.1.0"],
  "the deriver's queue": ["$JS.API.CONSUMER.MSG.NEXT.WORK.work-derive", "$JS.ACK.WORK.work-derive.1.1.1.1.0"],
  "the keeper's queue": ["$JS.API.CONSUMER.MSG.NEXT.WORK.work-keep", "$JS.ACK.WORK.work-keep.1.1.1.1.0"],
  streams: ["$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS"],
  "no stream of ours": ["$JS.API.STREAM.DELETE.EVENTS", "foreign"],
};
type Probe = keyof typeof probes;

describe.each(["", "team-b"])("with the prefix '%s'", (prefix) => {
  let nats: TestNats;
  let folderOfConf: string;
  const urlOf = (name: ServiceName) => nats.url.replace("//", `//${name}:${passwords[name]}@`);
  beforeAll(async () => {
    const env = SERVICES.map((name) => [`LATHE_NATS_${name.toUpperCase()}`, `"${passwords[name]!}"`]);
    folderOfConf = newFolder();
    const file = join(folderOfConf, "nats.conf");
    writeFileSync(file, prefix === "" ? readFileSync(conf) : withPrefix(prefix));
    nats = await startNats(["-c", file], Object.fromEntries(env) as Record<string, string>);
  });
  afterAll(async () => {
    await nats?.stop();
    rmSync(folderOfConf, { recursive: true });
  });

  it("a whole search, from its start to its deletion, needs no more than the permissions of deploy/nats/permissions.conf", async () => {
    const folder = newFolder();
    const folderOf = takeStateFolder(folder);
    const guard = startGuard();
    const processes = await Promise.all(
      SERVICES.map(async (name) => {
        const service = serviceProcess(name, urlOf(name), folderOf, guard, {
          services: join(compiled(), "services"),
          env: { ...SERVICE_ENV, LATHE_NATS_PREFIX: prefix },
        });
        return { name, child: await service.start(new AbortController().signal), address: service.address() };
      }),
    );
    const search = connect(SearchServiceClient, processes.find(({ name }) => name === "search")!.address.grpc);
    try {
      const { search: started } = await search.api.startSearch({ spec: smallSpec(), requestId: "once" });
      const searchId = started!.id;
      const { state } = await until(
        async () => (await search.api.getSearch({ searchId })).search!,
        ({ state: now }) => now >= SearchState.SEARCH_STATE_SUCCEEDED,
      );
      expect(SearchState[state]).toBe("SEARCH_STATE_SUCCEEDED");
      const other = (await search.api.startSearch({ spec: smallSpec({ seed: 8 }), requestId: "" })).search!.id;
      const newest = async () => (await search.api.getSearch({ searchId: other })).search!;
      await until(newest, ({ lastEpoch }) => lastEpoch !== undefined);
      await search.api.cancelSearch({ searchId: other, reason: "" });
      const { conditions } = await until(newest, (now) => now.conditions.some(({ type }) => type === "Kept"));
      expect(conditions.find(({ type }) => type === "Kept")).toMatchObject({ reason: "KEPT" });
      for (const { address } of processes) {
        const metrics = await (await fetch(`http://${address.http}/metrics`)).text();
        expect(metrics).toMatch(/^nas_jetstream_consumer_pending\{stream="WORK",consumer="work-train"\} 0$/m);
        expect(metrics).toMatch(/^nas_jetstream_stuck_messages\{stream="WORK"\} 0$/m);
      }
      await search.api.deleteSearch({ searchId });
      await expect(search.api.getSearch({ searchId })).rejects.toMatchObject({ code: "NOT_FOUND" });
      // Every service but search has tried to create the streams.
      const refusals = SERVICES.flatMap((name) =>
        readFileSync(folderOf.path("logs", `${name}.log`), "utf8")
          .split("\n")
          .filter((line) => line.includes("NATS refuses these credentials") && !/STREAM\.(CREATE|UPDATE)/.test(line)),
      );
      expect(refusals).toEqual([]);
    } finally {
      search.close();
      for (const { child } of processes) await child.stop(12_000);
      await guard.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.each<[ServiceName, Probe[]]>([
    ["search", ["an event of another", "work", "records", "checkpoints", "networks", "streams"]],
    ["supernet", ["progress", "checkpoints", "networks", "the trainer's queue"]],
    ["shrinking", []],
    ["discretization", ["progress", "networks", "the deriver's queue", "the keeper's queue"]],
    ["latency", ["progress", "the workers that are alive"]],
  ])("%s may write what is its own and nothing else", async (name, own) => {
    const bus = await connectBus({ url: urlOf(name), name, logger: quiet, prefix });
    const allowed = async (probe: string) => {
      // A reply names the stream as it is on the server.
      const subject = probe.replace("$JS.ACK.WORK", `$JS.ACK.${bus.names.stream("WORK")}`);
      // An expectation that never holds, so that a permitted publish stores nothing.
      const headers = newHeaders();
      headers.set("Nats-Expected-Last-Subject-Sequence", String(2 ** 52));
      const request = { what: subject, headers, timeoutMs: PATIENCE_MS, retryForMs: 0 };
      const answered = bus.request(subject, "", request).then(
        () => true,
        (error: LatheError) => error.reason !== "NATS_FORBIDDEN",
      );
      // The server sends a refusal before it answers the ping of a flush; some permitted subjects give no other answer.
      const flushed = bus.flush().then(() => new Promise<true>((resolve) => setImmediate(() => resolve(true))));
      return Promise.race([answered, flushed]);
    };
    try {
      for (const probe of Object.keys(probes) as Probe[])
        for (const subject of probes[probe])
          // Decisions are published by shrinking only.
          if (!(name === "shrinking" && subject.endsWith("space.kept")))
            expect([subject, await allowed(subject)]).toEqual([subject, own.includes(probe)]);
      const refusal = new Promise<Error | null>((resolve) =>
        bus.connection.subscribe(`${bus.names.inbox(name === "search" ? "supernet" : "search")}.>`, {
          callback: resolve,
        }),
      );
      expect(String(await refusal)).toMatch(/permission/i);
    } finally {
      await bus.drain();
    }
  });
});
