import { createRandom, type Random } from "../../shared/engine/random";
import { decode, encode } from "./message";
import { flipped, mutated, noise, randomMessage, truncated } from "./draw";
import type { Examples } from "./examples";
import type { Rpc } from "./rpcs";
import { pick } from "./values";

/** Kinds of requests, each as often as its weight. */
const KINDS = { valid: 3, mutated: 8, typed: 4, truncated: 2, flipped: 2, random: 1 } as const;
export type Kind = keyof typeof KINDS;

/** A call of a run. */
export interface Call {
  /** From 0. */
  number: number;
  rpc: Rpc;
  kind: Kind;
  /** Holds stand-ins (roles.ts). */
  bytes: Uint8Array;
  /** The client's deadline; undefined: as long as an answer may take. */
  deadlineMs: number | undefined;
  /** When the client cancels. */
  cancelAfterMs: number | undefined;
  /** Number of equal calls at once. */
  copies: number;
}

/** Calls that take long are drawn less often, because a device measures one network at a time. */
const weightOf = ({ ending }: Rpc): number => (ending === "deadline" ? 1 : 4);
const MOST_COPIES = 48;

/** Draws the calls of a seed. Each has random numbers of its own, so that it can be repeated without those before it. */
export function planOf(seed: number, rpcs: readonly Rpc[], examples: Examples): (number: number) => Call {
  const kinds = (Object.keys(KINDS) as Kind[]).flatMap((kind) => Array<Kind>(KINDS[kind]).fill(kind));
  const weighted = rpcs.flatMap((rpc) => Array<Rpc>(weightOf(rpc)).fill(rpc));
  return (number) => {
    const random = createRandom(seed, `call ${number}`);
    const rpc = pick(random, weighted);
    const kind = pick(random, kinds);
    const bytes = requestOf(kind, rpc, random, examples);
    return { number, rpc, kind, bytes, ...times(rpc, random), copies: copiesOf(random) };
  };
}

/** The bytes of a request of a kind. */
export function requestOf(kind: Kind, { name, input }: Rpc, random: Random, { requests, known }: Examples): Uint8Array {
  const valid = pick(random, requests[name] ?? [new Uint8Array()]);
  switch (kind) {
    case "valid":
      return valid;
    case "mutated":
      return encode(mutated(decode(input, valid), random, known));
    case "typed":
      return encode(randomMessage(input, random, known));
    case "truncated":
      return truncated(valid, random);
    case "flipped":
      return flipped(valid, random);
    case "random":
      return noise(random);
  }
}

function times({ ending }: Rpc, random: Random): Pick<Call, "deadlineMs" | "cancelAfterMs"> {
  const [short, cancels] = [random.integer(8) === 0, random.integer(10) === 0];
  const [deadlineMs, cancelAfterMs] = [1 + random.integer(200), random.integer(50)];
  if (ending === "cancel") return { deadlineMs: undefined, cancelAfterMs: 8 * cancelAfterMs };
  return {
    deadlineMs: short ? deadlineMs : ending === "deadline" ? 5 * (deadlineMs + 100) : undefined,
    cancelAfterMs: cancels ? cancelAfterMs : undefined,
  };
}

const copiesOf = (random: Random): number => (random.integer(64) === 0 ? 2 + random.integer(MOST_COPIES - 1) : 1);
