import { setTimeout as pause } from "node:timers/promises";
import { SERVICES, type Addresses, type ServiceName } from "../../cli/stack/stack";
import { HealthCheckResponse_ServingStatus as Serving, HealthClient } from "../../shared/proto/grpc/health/v1/health";
import { connect } from "../../shared/rpc/client";

const EVERY_MS = 100;

/** Asks each service for its health beside the calls, on a connection of its own. */
interface Probe {
  /** Times of the answers in ms, by service. */
  readonly times: Readonly<Record<ServiceName, number[]>>;
  stop(): Promise<void>;
}

/** `onFault` gets what is wrong with an answer: NOT_SERVING, an error, or none within `limitMs`. */
export function startProbe(addresses: Addresses, limitMs: number, onFault: (fault: string) => void): Probe {
  const stopping = new AbortController();
  const times = Object.fromEntries(SERVICES.map((name) => [name, [] as number[]])) as Record<ServiceName, number[]>;
  const watch = async (name: ServiceName) => {
    const connection = connect(HealthClient, addresses[name].grpc, { deadlineMs: limitMs });
    while (!stopping.signal.aborted) {
      const began = performance.now();
      try {
        const { status } = await connection.api.check({ service: "" });
        if (status !== Serving.SERVING) onFault(`the ${name} service is ${Serving[status]}`);
      } catch (error) {
        onFault(`health of the ${name} service: ${(error as Error).message}`);
      }
      times[name].push(performance.now() - began);
      await pause(EVERY_MS);
    }
    connection.close();
  };
  const all = Promise.all(SERVICES.map(watch));
  return {
    times,
    async stop() {
      stopping.abort();
      await all;
    },
  };
}

/** The value that 99 % of the values do not exceed. */
export function p99(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0;
}
