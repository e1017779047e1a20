import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { LatheError } from "../../shared/process/errors";
import { killPoints, pointsTable } from "./points";
import { chaos } from "./run";

const usage = "npm run chaos -- [--kill-points | --searches N --kills K] [--seed S] [--nats <path of nats-server>]";

/** Searches after which some kill points count as out of reach. */
const MAX_SEARCHES = 40;

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new LatheError("INVALID_ARGUMENT", `--${name} is "${text}", must be an integer from 1: ${usage}`);
}

async function main(): Promise<string[]> {
  const { values } = parseArgs({
    options: {
      searches: { type: "string", default: "3" },
      kills: { type: "string", default: "20" },
      seed: { type: "string", default: "1" },
      nats: { type: "string" },
      "kill-points": { type: "boolean", default: false },
    },
  });
  const started = Date.now();
  const say = (line: string) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const common = { seed: count("seed", values.seed), nats: values.nats && resolve(values.nats), say };
  if (!values["kill-points"])
    return chaos({ searches: count("searches", values.searches), kills: count("kills", values.kills), ...common });
  const { deaths, left, deviations } = await killPoints({ searches: MAX_SEARCHES, ...common });
  console.log(pointsTable(deaths));
  return [...deviations, ...left.map(({ service, side, write }) => `no death of ${service} ${side} ${write}`)];
}

main()
  .then((deviations) => {
    console.log(
      deviations.length === 0 ? "no deviation" : `${deviations.length} deviations:\n${deviations.join("\n")}`,
    );
    process.exitCode = deviations.length === 0 ? 0 : 1;
  })
  .catch((thrown: unknown) => {
    const error = LatheError.from(thrown);
    console.error(error.code === "INTERNAL" ? error : `chaos: ${error.message}`);
    process.exitCode = 1;
  });
