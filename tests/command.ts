import { LatheError } from "../shared/process/errors";

/** The whole number, from 1, of a flag; INVALID_ARGUMENT names the flag and the usage. */
export function count(name: string, text: string, usage: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new LatheError("INVALID_ARGUMENT", `--${name} is "${text}", must be an integer from 1: ${usage}`);
}

/** Prints lines, each with the seconds since now. */
export function timed(): (line: string) => void {
  const started = Date.now();
  return (line) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

/** Runs a command that finds deviations, and prints them. The exit code is 0 where there are none. */
export async function conclude(name: string, main: () => Promise<string[]>): Promise<void> {
  process.exitCode = 1;
  try {
    const deviations = await main();
    if (deviations.length > 0) return console.log(`${deviations.length} deviations:\n${deviations.join("\n")}`);
    console.log("no deviation");
    process.exitCode = 0;
  } catch (thrown) {
    const error = LatheError.from(thrown);
    console.error(error.code === "INTERNAL" ? error : `${name}: ${error.message}`);
  }
}
