#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../shared/process/root";
import { datasetCommand } from "./commands/dataset";
import { deadLettersCommand } from "./commands/deadletters";
import { doctorCommand } from "./commands/doctor";
import { experimentCommand } from "./commands/experiment";
import { networkCommand } from "./commands/network";
import { profileCommand } from "./commands/profile";
import { runCommand } from "./commands/run";
import { searchCommand } from "./commands/search";
import { spaceCommand } from "./commands/space";
import { upCommand } from "./commands/up";
import { commandError, complain, errorLines, EXIT, exitCode } from "./exit";

function program(): Command {
  const lathe = new Command("lathe")
    .description("Searches for real-time segmentation networks.")
    .version(version())
    .addHelpText(
      "after",
      "\nExit codes: 0 success, 1 internal error, 2 invalid arguments or spec, 3 the search failed, 4 cancelled or interrupted,\n5 environment (no NATS, a service that does not start or answer, a full disk)",
    );
  for (const add of [
    runCommand,
    upCommand,
    searchCommand,
    deadLettersCommand,
    spaceCommand,
    datasetCommand,
    networkCommand,
    experimentCommand,
    profileCommand,
    doctorCommand,
  ])
    add(lathe);
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
    await program().parseAsync();
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
