import { resolve } from "node:path";
import type { Command } from "commander";
import { complain, print, printJson } from "../exit";
import { onInterrupt } from "../interrupt";
import { userFolder } from "../userFolder";
import { workers } from "./options";
import { SERVICES, startStack } from "../stack/stack";

/** `lathe up`: a local stack that runs until Ctrl-C. */
export function upCommand(program: Command): void {
  program
    .command("up")
    .description("start a local stack (NATS and the five services) that runs until Ctrl-C")
    .option(
      "--state <folder>",
      "folder for the NATS store, logs and addresses; unfinished searches in it continue",
      ".lathe",
    )
    .option("--workers <number>", "searches that train at once, each with its share of the cores (default: 1)", workers)
    .option("--json", "print the addresses as JSON")
    .action(async ({ state, workers, json }: { state: string; workers?: number; json?: boolean }) => {
      const interrupt = onInterrupt(complain);
      try {
        const folder = resolve(userFolder(), state);
        if (!json) print(`starting the local stack in ${folder}`);
        const stack = await startStack({ folder, say: complain, workers, signal: interrupt.signal });
        try {
          const addresses = stack.addresses();
          if (json) printJson({ folder, nats: stack.natsUrl, services: addresses });
          else {
            print(`  ${"nats".padEnd(16)}${stack.natsUrl}`);
            for (const name of SERVICES)
              print(
                `  ${name.padEnd(16)}grpc ${addresses[name].grpc}   metrics http://${addresses[name].http}/metrics`,
              );
            print(`logs are in ${folder}/logs; Ctrl-C stops the stack`);
          }
          const error = await Promise.race([stack.broken, aborted(interrupt.signal)]);
          if (error) throw error;
        } finally {
          await stack.stop();
        }
      } finally {
        interrupt.dispose();
      }
    });
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((done) => {
    if (signal.aborted) done(undefined);
    signal.addEventListener("abort", () => done(undefined), { once: true });
  });
}
