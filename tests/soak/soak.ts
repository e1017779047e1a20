import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { conclude, count, timed } from "../command";
import { levelsTable } from "./levels";
import { soak } from "./run";

const usage = "npm run soak -- [--searches N] [--seed S] [--nats <path of nats-server>]";

async function main(): Promise<string[]> {
  const { values } = parseArgs({
    options: {
      searches: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      nats: { type: "string" },
    },
  });
  const say = timed();
  const searches = count("searches", values.searches, usage);
  const nats = values.nats && resolve(values.nats);
  const { levels, deviations } = await soak({ searches, seed: count("seed", values.seed, usage), nats, say });
  console.log(levelsTable(levels));
  return deviations;
}

void conclude("soak", main);
