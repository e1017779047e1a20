import type { Bus } from "../../shared/events/bus";
import { deadLetter, deadLetters } from "../../shared/events/deadLetters";
import { streamInfo } from "../../shared/events/streams";
import { DEAD_LETTERS_STREAM } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { DeadLetter, ListDeadLettersRequest, ListDeadLettersResponse } from "../../shared/proto/lathe/v1/search";

const DEFAULT_PAGE = 50;

/** A page of the dead letters, oldest first, without their bytes. */
export async function list(
  bus: Bus,
  { pageSize, fromSequence }: ListDeadLettersRequest,
): Promise<ListDeadLettersResponse> {
  const size = pageSize || DEFAULT_PAGE;
  const found = await deadLetters(bus, fromSequence, size + 1);
  return {
    deadLetters: found.slice(0, size).map((letter) => ({ ...letter, data: Buffer.alloc(0) })),
    nextFromSequence: found[size]?.sequence ?? 0,
    total: (await streamInfo(bus, DEAD_LETTERS_STREAM))?.state.messages ?? 0,
  };
}

/** One dead letter with its bytes; NOT_FOUND where there is none. */
export async function get(bus: Bus, sequence: number): Promise<DeadLetter> {
  const letter = await deadLetter(bus, sequence);
  if (letter) return letter;
  throw new LatheError("NOT_FOUND", `dead letter ${sequence} does not exist`, { reason: "DEAD_LETTER_NOT_FOUND" });
}
