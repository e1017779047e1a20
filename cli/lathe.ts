#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../shared/process/root";
import { commandError, complain, errorLines, EXIT, exitCode } from "./exit";

/** The commands in the order of the help. Each loads its modules by itself: loading those of all takes over a second of processor time. */
const COMMANDS: Record<string, () => Promise<(program: Command) => void>> = {
  run: async () => (await import("./commands/run.js")).runCommand,
  init: async () => (await import("./commands/init.js")).initCommand,
  up: async () => (await import("./commands/up.js")).upCommand,
  search: async () => (await import("./commands/search.js")).searchCommand,
  deadletters: async () => (await import("./commands/deadletters.js")).deadLettersCommand,
  space: async () => (await import("./commands/space.js")).spaceCommand,
  dataset: async () => (await import("./commands/dataset.js")).datasetCommand,
  network: async () => (await import("./commands/network.js")).networkCommand,
  evaluate: async () => (await import("./commands/evaluate.js")).evaluateCommand,
  predict: async () => (await import("./commands/predict.js")).predictCommand,
  pareto: async () => (await import("./commands/pareto.js")).paretoCommand,
  experiment: async () => (await import("./commands/experiment.js")).experimentCommand,
  profile: async () => (await import("./commands/profile.js")).profileCommand,
  reproduce: async () => (await import("./commands/reproduce.js")).reproduceCommand,
  doctor: async () => (await import("./commands/doctor.js")).doctorCommand,
};

/** The program with the command that the first argument names, or with all commands, which the help and a wrong name need. */
async function program(first: string | undefined): Promise<Command> {
  const lathe = new Command("lathe")
    .description("Searches for real-time segmentation networks.")
    .version(version())
    .addHelpText(
      "after",
      "\nExit codes: 0 success, 1 internal error, 2 invalid arguments or spec, or not allowed in the state of the search,\n3 the search failed, 4 cancelled or interrupted, 5 environment (no NATS, a service that does not start or answer, a full disk)",
    );
  const named = first !== undefined && Object.hasOwn(COMMANDS, first) ? [COMMANDS[first]!] : Object.values(COMMANDS);
  for (const load of named) (await load())(lathe);
  const settle = (command: Command) => {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "lathe: ")) });
    command.commands.forEach(settle);
  };
  settle(lathe);
  return lathe;
}

async function main(): Promise<void> {
  try {
    await (await program(process.argv[2])).parseAsync();
    process.exitCode = EXIT.done;
  } catch (thrown) {
    // Commander has already printed its error or the requested help.
    if (thrown instanceof CommanderError) {
      process.exitCode = thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
      return;
    }
    const error = commandError(thrown);
    complain(...errorLines(error));
    if (exitCode(error) === EXIT.internal && error.cause instanceof Error && error.cause.stack)
      complain(error.cause.stack);
    process.exitCode = exitCode(error);
  }
}

void main();
