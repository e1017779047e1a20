import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { LatheError } from "../../shared/process/errors";
import { chaos } from "./run";

const usage = "npm run chaos -- --searches N --kills K --seed S [--nats <path of nats-server>]";

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new LatheError("INVALID_ARGUMENT", `--${name} is "${text}", must be an integer from 1: ${usage}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      searches: { type: "string", default: "3" },
      kills: { type: "string", default: "20" },
      seed: { type: "string", default: "1" },
      nats: { type: "string" },
    },
  });
  const started = Date.now();
  const deviations = await chaos({
    searches: count("searches", values.searches),
    kills: count("kills", values.kills),
    seed: count("seed", values.seed),
    nats: values.nats && resolve(values.nats),
    say: (line) => console.log(`${((Date.now() - started) / 1000).toFixed(1)} s  ${line}`),
  });
  console.log(deviations.length === 0 ? "no deviation" : `${deviations.length} deviations:\n${deviations.join("\n")}`);
  process.exitCode = deviations.length === 0 ? 0 : 1;
}

main().catch((thrown: unknown) => {
  const error = LatheError.from(thrown);
  console.error(error.code === "INTERNAL" ? error : `chaos: ${error.message}`);
  process.exitCode = 1;
});
