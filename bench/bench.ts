import { startWorker } from "../shared/process/worker";
import { LatheError } from "../shared/process/errors";
import { control } from "./control";
import type { MeasuredJob, Measurement } from "./measurement";
import { network } from "./network";
import { reportJson, reportText } from "./report";
import { startup } from "./startup";

type Benchmark = (args: readonly string[]) => Promise<Measurement | Measurement[]>;

/** Runs a benchmark in a process with the environment of the training process, which must be set at its start. */
const asTrainer =
  (name: MeasuredJob["name"]): Benchmark =>
  (args) =>
    startWorker<MeasuredJob, never, Measurement[]>({
      dir: __dirname,
      name: "worker",
      env: { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" },
    }).run({ name, args: [...args] });

const BENCHMARKS: Record<string, Benchmark> = {
  step: asTrainer("step"),
  search: asTrainer("search"),
  network,
  startup,
  control,
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
