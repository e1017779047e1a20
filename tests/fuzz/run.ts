import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "@grpc/grpc-js";
import { SERVICES, type ServiceName } from "../../cli/stack/stack";
import { openClient, send, type Answer } from "./call";
import { examplesOf } from "./examples";
import { Findings } from "./findings";
import { faultOf, kindOf } from "./judge";
import { residentMiB } from "./memory";
import { planOf, type Call } from "./plan";
import { startProbe } from "./probe";
import { substitute, type StandIns } from "./roles";
import { rpcs } from "./rpcs";
import { shrink } from "./shrink";
import { Site } from "./site";

interface FuzzOptions {
  seed: number;
  /** Numbers of the calls to send, of those that the seed gives. */
  numbers: readonly number[];
  /** How long an answer may take. */
  limitMs: number;
  say: (line: string) => void;
  /** Receives each answer. */
  onAnswer?: (answer: Answer) => void;
}

/** Calls in flight, without the copies of a flood. */
const LANES = 8;
const ROUND = { least: 150, most: 500 };
/** Time between the collection of garbage and the sample of memory. */
const QUIET_MS = 500;

/**
 * Calls a whole stack with the requests of a seed, in rounds. After each round every search is deleted, memory is read, and nothing may be
 * open or queued; after the last one a valid search must still end as it should.
 */
export async function fuzz({ seed, numbers, limitMs, say, onAnswer = () => {} }: FuzzOptions): Promise<Findings> {
  const findings = new Findings(say);
  const site = await Site.start(limitMs);
  const { stack, said } = site.system;
  const addresses = stack.addresses();
  const clients = new Map<ServiceName, Client>(SERVICES.map((name) => [name, openClient(addresses[name].grpc)]));
  const probe = startProbe(addresses, limitMs, (fault) => findings.fault(fault));

  const ask = (
    { rpc, deadlineMs = rpc.ending === "cancel" ? undefined : limitMs, cancelAfterMs }: Call,
    bytes: Uint8Array,
  ) => send(clients.get(rpc.service)!, rpc, bytes, { deadlineMs, cancelAfterMs });
  const perform = async (call: Call, standing: StandIns) => {
    const request = substitute(call.bytes, standing);
    const answers = await Promise.all(Array.from({ length: call.copies }, () => ask(call, request)));
    for (const answer of answers) {
      findings.count(call, answer);
      onAnswer(answer);
      const fault = faultOf(answer, call, limitMs);
      if (fault) findings.fault(fault, { call, request });
    }
  };

  try {
    const callOf = planOf(seed, rpcs(), examplesOf(await site.see()));
    const size = Math.min(ROUND.most, Math.max(ROUND.least, Math.ceil(numbers.length / 12)));
    for (let at = 0; at < numbers.length; at += size) {
      const standing = await site.prepare();
      const queue = numbers.slice(at, at + size);
      const lane = async () => {
        for (let number = queue.shift(); number !== undefined; number = queue.shift())
          await perform(callOf(number), standing);
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      await shrinkFaults(findings, ask, limitMs);
      await site.settle();
      await sampleMemory(findings, site);
      say(progress(findings, Math.min(at + size, numbers.length), numbers.length));
    }
    await site.finish();
  } catch (error) {
    findings.fault((error as Error).message);
  } finally {
    await probe.stop();
    for (const line of said) findings.fault(line);
    clients.forEach((client) => client.close());
    await site.system.stop();
  }
  findings.close(probe.times);
  return findings;
}

/** Makes the requests of the faults smaller that have not been made smaller yet. */
async function shrinkFaults(
  { faults }: Findings,
  ask: (call: Call, bytes: Uint8Array) => Promise<Answer>,
  limitMs: number,
): Promise<void> {
  for (const { what, first } of faults) {
    // A service that does not answer would be waited for again and again.
    if (!first || first.isSmall || what.startsWith("no answer")) continue;
    first.isSmall = true;
    const { call } = first;
    first.request = await shrink(call.rpc, first.request, async (bytes) => {
      const fault = faultOf(await ask(call, bytes), call, limitMs);
      return fault !== undefined && kindOf(fault) === kindOf(what);
    });
  }
}

async function sampleMemory(findings: Findings, { system: { stack } }: Site): Promise<void> {
  const services = Object.entries(stack.addresses());
  // Each service loads collect.cjs.
  for (const [, { pid }] of services) process.kill(pid, "SIGUSR2");
  await pause(QUIET_MS);
  for (const [name, { pid }] of services) findings.sample(name, residentMiB(pid));
  findings.sample("nats-server", residentMiB(stack.pids()[0]!));
}

function progress({ memory, faults }: Findings, done: number, all: number): string {
  const newest = [...memory].map(([name, samples]) => `${name} ${samples.at(-1)!.toFixed(0)}`);
  return `${done} of ${all} calls, ${faults.length} faults; MiB: ${newest.join(", ")}`;
}
