import { LatheError } from "../shared/process/errors";
import { control } from "./control";
import { front } from "./front";
import { measuredApart, type Measurement } from "./measurement";
import { latency } from "./latency";
import { network } from "./network";
import { rewrites } from "./rewrites";
import { peers } from "./peers";
import { reportJson, reportText } from "./report";
import { startup } from "./startup";
import { watchers } from "./watchers";

type Benchmark = (args: readonly string[]) => Promise<Measurement | Measurement[]>;

const BENCHMARKS: Record<string, Benchmark> = {
  step: (args) => measuredApart({ name: "step", args: [...args] }),
  search: (args) => measuredApart({ name: "search", args: [...args] }),
  retrain: (args) => measuredApart({ name: "retrain", args: [...args] }),
  cores: (args) => measuredApart({ name: "cores", args: [...args] }),
  accuracy: (args) => measuredApart({ name: "accuracy", args: [...args] }),
  network,
  peers,
  front,
  latency,
  rewrites,
  startup,
  control,
  watchers,
};

async function main(): Promise<void> {
  const [name = "", ...args] = process.argv.slice(2);
  const benchmark = BENCHMARKS[name];
  if (!benchmark) {
    console.error(`there is no benchmark "${name}"; choose from ${Object.keys(BENCHMARKS).join(", ")}`);
    process.exitCode = 2;
    return;
  }
  const measurements = [await benchmark(args.filter((arg) => arg !== "--json"))].flat();
  console.log(args.includes("--json") ? reportJson(name, measurements) : reportText(measurements));
}

main().catch((thrown: unknown) => {
  const error = LatheError.from(thrown);
  console.error(error.code === "INTERNAL" ? error : `bench: ${error.message}`);
  process.exitCode = 1;
});
