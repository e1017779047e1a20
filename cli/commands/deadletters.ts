import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { DeadLetter } from "../../shared/proto/lathe/v1/search";
import { complain, print, printJson } from "../exit";
import type { SearchApi } from "../search/follow";
import { connectionOptions, withSearchService, type ConnectionFlags } from "./connection";
import { whole } from "./options";

const SEQUENCE = "its number in the list";

/** `lathe deadletters ...`: the messages that no service can handle. */
export function deadLettersCommand(program: Command): void {
  const deadLetters = program
    .command("deadletters")
    .description("list, show and drop the messages that no service can handle");
  const sub = (usage: string, about: string) => connectionOptions(deadLetters.command(usage).description(about));

  sub("list", "list the dead letters, oldest first").action(async (flags: ConnectionFlags) =>
    withSearchService(flags, async (api, signal) => {
      const found: DeadLetter[] = [];
      for await (const one of all(api, signal)) found.push(one);
      if (flags.json) return printJson(found.map((one) => DeadLetter.toJSON(one)));
      for (const one of found) print(line(one));
      if (found.length === 0) complain("no dead letters found");
    }),
  );

  sub("show", "show a dead letter, its cause and its bytes")
    .argument("<sequence>", SEQUENCE, whole)
    .action(async (sequence: number, flags: ConnectionFlags) =>
      withSearchService(flags, async (api, signal) => {
        const { deadLetter: found } = await api.getDeadLetter({ sequence }, { signal });
        if (!found) throw new LatheError("INTERNAL", "the search service answered without a dead letter");
        if (flags.json) return printJson(DeadLetter.toJSON(found));
        const { data, sizeBytes, attempts } = found;
        const cut = data.length < sizeBytes ? `, the first ${data.length} of them below` : "";
        print(line(found), `  ${attempts} attempts, ${sizeBytes} bytes${cut}`, shown(data));
      }),
    );

  sub("drop", "remove a dead letter, or all of them")
    .argument("[sequence]", SEQUENCE, whole)
    .option("--all", "remove all dead letters")
    .action(async (given: number | undefined, flags: ConnectionFlags & { all?: boolean }) => {
      if ((given === undefined) === !flags.all)
        throw new LatheError("INVALID_ARGUMENT", "give a sequence or --all, one of them");
      await withSearchService(flags, async (api, signal) => {
        const dropped: number[] = [];
        const drop = async (sequence: number) => {
          await api.dropDeadLetter({ sequence }, { signal });
          dropped.push(sequence);
        };
        if (given !== undefined) await drop(given);
        else for await (const { sequence } of all(api, signal)) await drop(sequence);
        if (flags.json) printJson({ dropped });
        else print(`${dropped.length} dropped`);
      });
    });
}

async function* all(api: SearchApi, signal: AbortSignal): AsyncGenerator<DeadLetter> {
  let fromSequence = 0;
  do {
    const page = await api.listDeadLetters({ pageSize: 200, fromSequence }, { signal });
    yield* page.deadLetters;
    fromSequence = page.nextFromSequence;
  } while (fromSequence !== 0);
}

const line = ({ sequence, time, subject, messageSequence, consumer, reason, message }: DeadLetter) =>
  `${sequence}  ${time?.toISOString() ?? ""}  ${printable(subject)}#${messageSequence}  ${consumer}  ${reason}: ${printable(message)}`;

/** The message comes from anywhere: control characters would reach the terminal. */
const printable = (text: string) => text.replace(/[^\P{C}\n]/gu, "\ufffd");

/** Text as it is, other bytes as hexadecimal. */
function shown(data: Uint8Array): string {
  const text = Buffer.from(data).toString("utf8");
  return text.includes("\ufffd") ? Buffer.from(data).toString("hex") : printable(text);
}
