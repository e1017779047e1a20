import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { Lease, ensureDurable, pullOne, type Delivery, type DurableSettings, type OnLate } from "./pull";

/** A running consumer. stop() ends the pulling and waits for the deliveries in hand. */
export interface Consumption {
  stop(): Promise<void>;
}

/** A delivery that is being handled. */
export interface InHand {
  delivery: Delivery;
  queue: DurableSettings;
  /** Aborts when the consumer stops. */
  stopping: AbortSignal;
  lease: Lease;
}

interface PullOptions {
  /** Receives a delivery that arrives after its pull has ended, and must give the message back. */
  onLate: OnLate;
  /** Whether other deliveries may be in hand while this one is handled; by default none may, over all queues. */
  sideBySide?: (delivery: Delivery) => boolean;
  /** Ends the pulling. The delivery in hand is not interrupted. */
  enough?: AbortSignal | undefined;
  /** Waits until this process can handle a delivery, or its argument aborts. A pull ends when the returned signal aborts. */
  free?: ((signal: AbortSignal) => Promise<AbortSignal>) | undefined;
}

/**
 * Pulls deliveries from one or several queues and hands each to `handle`, until stopped. After any failure the durables are created again
 * where they are missing, and the pulling continues.
 */
export async function runPulls(
  bus: Bus,
  queues: readonly DurableSettings[],
  handle: (inHand: InHand) => Promise<void>,
  { onLate, sideBySide = () => false, enough, free }: PullOptions,
): Promise<Consumption> {
  const ensure = async () => {
    for (const queue of queues) await ensureDurable(bus, queue);
  };
  let losses = bus.losses;
  await ensure();
  const stop = new AbortController();
  const names = queues.map(({ durable }) => durable).join();
  const idle = (change: 1 | -1) => {
    for (const { durable } of queues) bus.idle.set(durable, (bus.idle.get(durable) ?? 0) + change);
  };
  idle(1);
  const noMore = enough ? AbortSignal.any([stop.signal, enough]) : stop.signal;
  const inHand = new Set<Promise<void>>();
  let occupied = 0;
  const occupy = () => occupied++ === 0 && idle(-1);
  const vacate = () => --occupied === 0 && idle(1);
  const whenFree = async (): Promise<AbortSignal> => {
    if (!free) return noMore;
    occupy();
    const busy = await free(noMore).finally(vacate);
    return AbortSignal.any([noMore, busy]);
  };
  const take = async ({ queue, delivery }: Pulled, before: readonly Promise<void>[]) => {
    if (delivery.deliveries > 1) bus.counters.redeliveries++;
    const lease = new Lease(delivery, queue.ackWaitMs, () => bus.counters.leasesLost++);
    try {
      await Promise.all(before);
      await handle({ delivery, queue, stopping: stop.signal, lease });
    } finally {
      lease.end();
    }
  };
  /** Handles a delivery after those in `before`. */
  const hold = (pulled: Pulled, before: readonly Promise<void>[] = []): Promise<void> => {
    occupy();
    const taken = take(pulled, before);
    const ended = taken
      .catch(() => {})
      .finally(() => {
        inHand.delete(ended);
        vacate();
      });
    inHand.add(ended);
    return taken;
  };
  const stumbled = (error: unknown, failures: number) =>
    bus.logger.warn("consumer stumbled", { durable: names, failures, error });
  const run = async () => {
    let failures = 0;
    let order = queues;
    while (!noMore.aborted && !bus.connection.isClosed()) {
      try {
        // A durable is lost with its stream, and a pull from it would wait without an answer.
        if (failures > 0 || losses !== bus.losses) {
          const noted = bus.losses;
          await ensure();
          losses = noted;
        }
        const pulled = await pullAny(bus, order, await whenFree(), onLate);
        failures = 0;
        if (!pulled) continue;
        // The queue that was served comes last: none starves while another is full.
        order = [...order.filter((queue) => queue !== pulled.queue), pulled.queue];
        if (sideBySide(pulled.delivery)) hold(pulled).catch((error: unknown) => stumbled(error, 1));
        else await hold(pulled, [...inHand]);
      } catch (error) {
        failures++;
        stumbled(error, failures);
        await sleep(Math.min(5000, 100 * 2 ** failures), noMore);
      }
    }
    await Promise.all(inHand);
    idle(-1);
  };
  const running = run();
  return {
    stop: async () => {
      stop.abort(new LatheError("CANCELLED", `consumer ${names} is stopping`, { reason: "STOPPING" }));
      await running;
    },
  };
}

interface Pulled {
  queue: DurableSettings;
  delivery: Delivery;
}

/**
 * Pulls one delivery, from the first queue that has one. While all queues are empty it waits for all of them, and ends the other pulls as
 * soon as one delivers: an item must not wait in the hands of a worker that is busy with another item.
 */
async function pullAny(
  bus: Bus,
  queues: readonly DurableSettings[],
  signal: AbortSignal,
  onLate: OnLate,
): Promise<Pulled | undefined> {
  if (queues.length > 1)
    for (const queue of queues) {
      const delivery = await pullOne(bus, queue, signal, onLate, 0);
      if (delivery) return { queue, delivery };
    }
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const taken: Pulled[] = [];
  const pulls = queues.map(async (queue) => {
    try {
      const delivery = await pullOne(bus, queue, either, onLate);
      if (!delivery) return;
      if (taken.length > 0) return onLate(queue, delivery);
      taken.push({ queue, delivery });
    } finally {
      over.abort();
    }
  });
  const failed = (await Promise.allSettled(pulls)).find((pull) => pull.status === "rejected");
  if (taken.length === 0 && failed) throw failed.reason;
  return taken[0];
}
