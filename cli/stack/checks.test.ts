import { createLogger } from "../../shared/process/logger";
import { startHttp } from "../../shared/process/http";
import { createMetrics } from "../../shared/process/metrics";
import { createReadiness } from "../../shared/process/readiness";
import type { LatheError } from "../../shared/process/errors";
import { watchChecks } from "./checks";

async function service() {
  const readiness = createReadiness();
  const logger = createLogger({ service: "test" });
  const http = await startHttp({ host: "127.0.0.1", port: 0, metrics: createMetrics(), readiness, logger });
  const storage = readiness.check("storage", "", { gates: false });
  storage.ok();
  return { address: { http: `127.0.0.1:${http.port}` }, storage, stop: () => http.stop() };
}

describe("a failing check of a stack", () => {
  it("is reported once when it lasts and once when it recovers; full storage ends a bounded wait", async () => {
    const [one, other] = [await service(), await service()];
    const said: string[] = [];
    let heard = (): void => {};
    const say = (line: string) => {
      said.push(line);
      heard();
    };
    const line = () => new Promise<void>((resolve) => (heard = resolve));
    const stop = new AbortController();
    const addresses = () => ({ one: one.address, other: other.address, gone: { http: "127.0.0.1:1" } });
    let full: LatheError | undefined;
    const watch = (storagePatienceMs?: number) =>
      watchChecks({
        addresses,
        say,
        onStorageFull: (error) => (full = error),
        storagePatienceMs,
        signal: stop.signal,
        pollMs: 5,
      });
    const endless = watch();
    one.storage.fail("no room");
    other.storage.fail("no room");
    await line();
    one.storage.ok();
    other.storage.ok();
    await line();
    stop.abort();
    await endless;
    expect(said).toEqual([
      expect.stringMatching(/^waiting: no room \((one|other|one, other)\)$/),
      "recovered: storage",
    ]);
    expect(full).toBeUndefined();

    one.storage.fail("no room at all");
    await watchChecks({
      addresses,
      say,
      onStorageFull: (error) => (full = error),
      storagePatienceMs: 20,
      signal: new AbortController().signal,
      pollMs: 5,
    });
    expect(full).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL", message: "no room at all" });
    await Promise.all([one.stop(), other.stop()]);
  });
});
