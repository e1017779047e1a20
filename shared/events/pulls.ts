import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { Lease, ensureDurable, pullOne, type Delivery, type DurableSettings, type OnLate } from "./pull";

/** Runs until stop(), which waits for the deliveries in hand. */
export interface Consumption {
  stop(): Promise<void>;
}

/** A delivery that is being handled; `stopping` is the signal of its consumer. */
export interface InHand {
  delivery: Delivery;
  queue: DurableSettings;
  stopping: AbortSignal;
  lease: Lease;
}

interface PullOptions {
  /** Gets a delivery that arrives after its pull has ended: it must give the message back. */
  onLate: OnLate;
  /** Pull the next delivery while earlier ones are being handled; off: one at a time over all queues. */
  sideBySide?: boolean;
  /** Ends the pulling, and leaves the delivery in hand alone. */
  enough?: AbortSignal | undefined;
}

/**
 * Pulls deliveries from one or several queues and hands each to `handle`, until stopped. Whatever goes wrong with a durable, it is created
 * again and pulled from.
 */
export async function runPulls(
  bus: Bus,
  queues: readonly DurableSettings[],
  handle: (inHand: InHand) => Promise<void>,
  { onLate, sideBySide = false, enough }: PullOptions,
): Promise<Consumption> {
  const ensure = async () => {
    for (const queue of queues) await ensureDurable(bus, queue);
  };
  await ensure();
  const stop = new AbortController();
  const names = queues.map(({ durable }) => durable).join();
  const idle = (change: 1 | -1) => {
    for (const { durable } of queues) bus.idle.set(durable, (bus.idle.get(durable) ?? 0) + change);
  };
  idle(1);
  const noMore = enough ? AbortSignal.any([stop.signal, enough]) : stop.signal;
  const take = async ({ queue, delivery }: Pulled) => {
    if (delivery.deliveries > 1) bus.counters.redeliveries++;
    const lease = new Lease(delivery, queue.ackWaitMs, () => bus.counters.leasesLost++);
    try {
      await handle({ delivery, queue, stopping: stop.signal, lease });
    } finally {
      lease.end();
    }
  };
  const inHand = new Set<Promise<void>>();
  const takeAside = (pulled: Pulled) => {
    const taken = take(pulled).catch((error: unknown) =>
      bus.logger.warn("consumer stumbled", { durable: pulled.queue.durable, error }),
    );
    inHand.add(taken);
    void taken.then(() => inHand.delete(taken));
  };
  const run = async () => {
    let failures = 0;
    let order = queues;
    while (!noMore.aborted && !bus.connection.isClosed()) {
      try {
        if (failures > 0) await ensure();
        const pulled = await pullAny(bus, order, noMore, onLate);
        failures = 0;
        if (!pulled) continue;
        // The queue that was served comes last: none starves while another is full.
        order = [...order.filter((queue) => queue !== pulled.queue), pulled.queue];
        if (sideBySide) {
          takeAside(pulled);
          continue;
        }
        idle(-1);
        try {
          await take(pulled);
        } finally {
          idle(1);
        }
      } catch (error) {
        failures++;
        bus.logger.warn("consumer stumbled", { durable: names, failures, error });
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
 * One delivery from whichever queue has one, the first queues first. While all are empty it waits for all of them, and ends every other pull
 * as soon as one delivers: an item must not wait in the hands of a worker that is busy with another.
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
