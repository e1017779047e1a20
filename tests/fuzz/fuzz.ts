import { parseArgs } from "node:util";
import { reportText } from "./report";
import { fuzz } from "./run";

/** How long an answer may take. */
const LIMIT_MS = 10_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      calls: { type: "string", default: "2000" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
    },
  });
  const seed = whole("--seed", values.seed);
  const numbers =
    values.only === undefined
      ? Array.from({ length: whole("--calls", values.calls) }, (_, number) => number)
      : [whole("--only", values.only)];
  const say = (line: string) => console.log(line);
  const onAnswer = values.only === undefined ? undefined : (answer: unknown) => say(JSON.stringify(answer));
  const findings = await fuzz({ seed, numbers, limitMs: LIMIT_MS, say, ...(onAnswer && { onAnswer }) });
  say(reportText(findings, seed));
  if (findings.faults.length > 0) process.exitCode = 1;
}

function whole(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`${option} is "${text}", must be a whole number`);
}

main().catch((error: unknown) => {
  console.error(`fuzz: ${(error as Error).message}`);
  process.exitCode = 1;
});
