import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { conclude, count, timed } from "../command";
import { killPoints, pointsTable } from "./points";
import { chaos } from "./run";

const usage = "npm run chaos -- [--kill-points | --searches N --kills K] [--seed S] [--nats <path of nats-server>]";

/** Searches after which some kill points count as out of reach. */
const MAX_SEARCHES = 40;

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
  const say = timed();
  const common = { seed: count("seed", values.seed, usage), nats: values.nats && resolve(values.nats), say };
  if (!values["kill-points"])
    return chaos({
      searches: count("searches", values.searches, usage),
      kills: count("kills", values.kills, usage),
      ...common,
    });
  const { deaths, left, deviations } = await killPoints({ searches: MAX_SEARCHES, ...common });
  console.log(pointsTable(deaths));
  return [...deviations, ...left.map(({ service, side, write }) => `no death of ${service} ${side} ${write}`)];
}

void conclude("chaos", main);
