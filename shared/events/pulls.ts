import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { Lease, ensureDurable, pullOne, type Delivery, type DurableSettings } from "./pull";

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
  /** Called where the delivery waits in hand, for its repetition or for another: from now on it keeps no other out. */
  makeWay: () => void;
}

interface PullOptions {
  /**
   * How long, in ms, this delivery waits until the others in hand have ended or made way, and then keeps others out while it is handled; by
   * default without a limit, over all queues.
   */
  aloneMs?: (delivery: Delivery) => number;
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
  { aloneMs = () => Infinity, enough, free }: PullOptions,
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
  /** One entry for each delivery in hand that keeps others out, or keeps one waiting that must be alone. */
  const inTheWay = new Set<Promise<void>>();
  let occupied = 0;
  const occupy = () => occupied++ === 0 && idle(-1);
  const vacate = () => --occupied === 0 && idle(1);
  const whenFree = async (): Promise<AbortSignal> => {
    if (!free) return noMore;
    occupy();
    const busy = await free(noMore).finally(vacate);
    return AbortSignal.any([noMore, busy]);
  };
  const stumbled = (error: unknown, failures: number) =>
    bus.logger.warn("consumer stumbled", { durable: names, failures, error });
  /** Resolves when all have ended or made way, at the latest after `ms`. None of them is in the way after that. */
  const cleared = async (ways: readonly Promise<void>[], ms: number) => {
    const over = new AbortController();
    const all = Promise.all(ways).then(() => over.abort());
    await (ms < Infinity ? sleep(ms, over.signal) : all);
    for (const way of ways) inTheWay.delete(way);
  };
  /** Handles a delivery. Resolves when another may be pulled. */
  const hold = async ({ queue, delivery }: Pulled): Promise<void> => {
    const ms = aloneMs(delivery);
    const before = ms > 0 ? [...inTheWay] : [];
    let makeWay = () => {};
    const madeWay = new Promise<void>((resolve) => (makeWay = resolve));
    const take = async () => {
      if (delivery.deliveries > 1) bus.counters.redeliveries++;
      const lease = new Lease(delivery, queue.ackWaitMs, () => bus.counters.leasesLost++);
      try {
        if (before.length > 0) await cleared(before, ms);
        await handle({ delivery, queue, stopping: stop.signal, lease, makeWay });
      } catch (error) {
        stumbled(error, 1);
      } finally {
        lease.end();
      }
    };
    occupy();
    const ended = take().finally(() => {
      inHand.delete(ended);
      inTheWay.delete(way);
      vacate();
    });
    const way = Promise.race([ended, madeWay]);
    inHand.add(ended);
    inTheWay.add(way);
    if (ms > 0) await cleared([way], ms);
  };
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
        const pulled = await pullAny(bus, order, await whenFree());
        failures = 0;
        if (!pulled) continue;
        // The queue that was served comes last: none starves while another is full.
        order = [...order.filter((queue) => queue !== pulled.queue), pulled.queue];
        await hold(pulled);
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
async function pullAny(bus: Bus, queues: readonly DurableSettings[], signal: AbortSignal): Promise<Pulled | undefined> {
  if (queues.length > 1)
    for (const queue of queues) {
      const delivery = await pullOne(bus, queue, signal, 0);
      if (delivery) return { queue, delivery };
    }
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const taken: Pulled[] = [];
  const pulls = queues.map(async (queue) => {
    try {
      const delivery = await pullOne(bus, queue, either);
      if (!delivery) return;
      if (taken.length > 0) return delivery.nak(0);
      taken.push({ queue, delivery });
    } finally {
      over.abort();
    }
  });
  const failed = (await Promise.allSettled(pulls)).find((pull) => pull.status === "rejected");
  if (taken.length === 0 && failed) throw failed.reason;
  return taken[0];
}
