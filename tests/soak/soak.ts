import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { LatheError } from "../../shared/process/errors";
import { levelsTable } from "./levels";
import { soak } from "./run";

const usage = "npm run soak -- [--searches N] [--seed S] [--nats <path of nats-server>]";

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new LatheError("INVALID_ARGUMENT", `--${name} is "${text}", must be an integer from 1: ${usage}`);
}

async function main(): Promise<string[]> {
  const { values } = parseArgs({
    options: {
      searches: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      nats: { type: "string" },
    },
  });
  const started = Date.now();
  const say = (line: string) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const searches = count("searches", values.searches);
  const nats = values.nats && resolve(values.nats);
  const { levels, deviations } = await soak({ searches, seed: count("seed", values.seed), nats, say });
  console.log(levelsTable(levels));
  return deviations;
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
    console.error(error.code === "INTERNAL" ? error : `soak: ${error.message}`);
    process.exitCode = 1;
  });
