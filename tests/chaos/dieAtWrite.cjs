/*
 * Loaded into the services of a fleet by --require. It notes every durable write of the process, and kills the process before or after the
 * writes that points.json names: each entry once, and no more than two deaths without progress in between.
 */
const { appendFileSync, existsSync, readFileSync } = require("node:fs");
const { basename, dirname, join } = require("node:path");

const MAX_DEATHS_WITHOUT_PROGRESS = 2;

const [, main = ""] = process.argv;
if (basename(main) === "main.js") arm(basename(dirname(main)), process.env.LATHE_TEST_POINTS);

function arm(service, folder) {
  // The log of one search and all processes of the service: one line "<attempt|done|death before|death after> <write>" each.
  const log = join(folder, `${service}.log`);
  const note = (what, write) => appendFileSync(log, `${what}\t${write}\n`);
  const points = JSON.parse(readFileSync(join(folder, "points.json"), "utf8")).filter((one) => one.service === service);
  const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  const attempts = new Map();
  const left = new Set(points);
  let deaths = 0;
  const seen = (what, write) => {
    if (what === "attempt") attempts.set(write, (attempts.get(write) ?? 0) + 1);
    if (what === "done" && /^(event|acknowledgement) /.test(write)) deaths = 0;
    const side = what.startsWith("death ") && what.slice("death ".length);
    if (!side) return;
    deaths++;
    for (const point of left) if (point.write === write && point.side === side) return left.delete(point);
  };
  for (const line of lines) seen(...line.split("\t"));

  const die = async (side, write) => {
    for (const point of left) {
      if (point.write !== write || point.side !== side || point.from > attempts.get(write)) continue;
      if (deaths >= MAX_DEATHS_WITHOUT_PROGRESS) return;
      note(`death ${side}`, write);
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => {});
    }
  };

  const { Bus } = require(join(dirname(main), "..", "..", "shared", "events", "bus.js"));
  const { request } = Bus.prototype;
  Bus.prototype.request = async function (subject, payload, options) {
    const write = nameOf(subject, payload, options.what);
    if (write === undefined) return request.call(this, subject, payload, options);
    note("attempt", write);
    seen("attempt", write);
    await die("before", write);
    const answer = await request.call(this, subject, payload, options);
    note("done", write);
    seen("done", write);
    await die("after", write);
    return answer;
  };
}

/** The durable write of a request, in words without names of one search; undefined where it writes nothing. */
function nameOf(subject, payload, what) {
  const tokens = subject.split(".");
  if (subject.startsWith("lathe.events.")) return `event ${tokens.slice(3).join(".")}`;
  if (subject.startsWith("lathe.work.")) return `work ${tokens[2]}`;
  if (subject.startsWith("$KV.")) return `record ${tokens[1]}`;
  // The name of an object ends in its kind, that of a picture in its number.
  const part = (letter) => (letter === "M" ? "manifest" : "chunk");
  if (subject.startsWith("$O."))
    return `${part(tokens[2])} ${what
      .split("/")
      .at(-1)
      .replace(/^\d+\.png$/, "picture")}`;
  const purged = /\$O\.(\w+)\.(M|C)\./.exec(what);
  if (subject.startsWith("$JS.API.STREAM.PURGE."))
    return purged ? `purge ${part(purged[2])} ${purged[1]}` : `purge ${tokens[4]}`;
  if (subject.startsWith("$JS.ACK.") && payload === "+ACK")
    return `acknowledgement ${/ lathe\.(?:work\.\w+|events)/.exec(what)?.[0].trim() ?? what}`;
  return undefined;
}
