import { aloneOn } from "../../shared/events/alone";
import { announce } from "../../shared/events/presence";
import { openBus } from "../../shared/events/service";
import { Objects } from "../../shared/events/objects";
import { ARTIFACTS_BUCKET } from "../../shared/events/subjects";
import { boot } from "../../shared/process/boot";
import { LatheError } from "../../shared/process/errors";
import { startHttp } from "../../shared/process/http";
import { startServer } from "../../shared/rpc/server";
import { serverSettings } from "../../shared/rpc/settings";
import { schema } from "./config";
import { consume } from "./consumer";
import { findDevices, requireDevice, servedDevice } from "./devices";
import { observeProfiler } from "./metrics";
import { Fragments } from "./fragments";
import { startProfiler } from "./profiler";
import { References } from "./references";
import { latencyService } from "./rpc";
import { defaultSettings } from "./settings";

void boot("latency", schema, async (booted) => {
  const { config, logger, metrics, readiness, shutdown, facts, ready } = booted;
  const served = servedDevice(config.LATHE_DEVICE_CLASS, config.LATHE_PROFILING_PROVIDER);
  const threads = config.LATHE_PROFILING_THREADS;
  facts.deviceClass = () => served.deviceClass;
  const working = readiness.check("work queue");
  const { LATHE_HTTP_HOST: host, LATHE_HTTP_PORT: port } = config;
  const http = await startHttp({ host, port, metrics, readiness, logger, facts });
  shutdown.step("http", () => http.stop());

  const stopping = new AbortController();
  shutdown.signal.addEventListener("abort", () =>
    stopping.abort(new LatheError("UNAVAILABLE", "the latency service is stopping", { reason: "SERVER_STOPPING" })),
  );
  const looking = startProfiler();
  const found = findDevices(() => looking.devices(served, threads, stopping.signal), {
    signal: stopping.signal,
    onDied: (why) => {
      working.fail(why);
      logger.warn(why);
    },
  });
  const [bus, devices] = await Promise.all([openBus("latency", booted), found]);
  const figures = requireDevice(devices, served);
  const cores = figures.cpu?.cores ?? 1;
  const defaults = defaultSettings(served.deviceClass, threads, served.provider);
  const stores = { references: new References(bus), fragments: new Fragments(bus) };
  const quiet = config.LATHE_PROFILING_ALONE ? aloneOn(bus, { deviceClass: served.deviceClass }) : undefined;
  const profiler = observeProfiler(startProfiler(quiet?.alone), stores, metrics, logger);
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);

  const server = await startServer({
    ...serverSettings(config),
    services: [latencyService({ bus, profiler, artifacts, devices, defaults, cores, stopping: stopping.signal })],
    readiness,
    metrics,
    logger,
  });
  // The signal has aborted running calls. The server only has to send their answers.
  shutdown.step("grpc", () => server.stop(config.LATHE_SHUTDOWN_GRACE / 2));
  const consumption = await consume({ bus, artifacts, profiler, defaults, cores, leaseMs: config.LATHE_LEASE });
  shutdown.step("work queue", () => consumption.stop());
  // Whoever sees this service ready finds its device class served.
  const presence = announce(bus, figures);
  shutdown.step("presence", () => presence.stop());
  await presence.announced;
  working.ok();
  ready({ grpcPort: server.port, httpPort: http.port });
});
