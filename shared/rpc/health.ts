import { LatheError } from "../process/errors";
import type { Readiness } from "../process/readiness";
import { HealthCheckResponse_ServingStatus as Serving, HealthService } from "../proto/grpc/health/v1/health";
import { service, type Service } from "./handlers";

/** grpc.health.v1 for the server ("") and each of its services: all follow the readiness of the process. */
export function health(readiness: Readiness, services: readonly string[]): Service {
  const known = new Set(["", ...services]);
  const current = () => ({ status: readiness.ready ? Serving.SERVING : Serving.NOT_SERVING });
  return service(HealthService, {
    check: (request) => {
      if (known.has(request.service)) return current();
      throw new LatheError("NOT_FOUND", `no service "${request.service}" here; there are ${services.join(", ")}`);
    },
    async *watch(request, { signal }) {
      if (!known.has(request.service)) {
        // The protocol requires an open stream, because the service may be added later.
        yield { status: Serving.SERVICE_UNKNOWN };
        return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      }
      let wake = () => {};
      const stopListening = readiness.onChange(() => wake());
      const onAbort = () => wake();
      signal.addEventListener("abort", onAbort);
      try {
        let reported: Serving | undefined;
        while (!signal.aborted) {
          const changed = new Promise<void>((resolve) => (wake = resolve));
          const now = current();
          if (now.status !== reported) {
            reported = now.status;
            yield now;
          }
          // A change during the yield has resolved `changed` already.
          await changed;
        }
      } finally {
        stopListening();
        signal.removeEventListener("abort", onAbort);
      }
    },
  });
}
