import { arch, cpus, platform } from "node:os";
import { version } from "../../shared/process/root";
import { serve } from "../../shared/service/serve";
import { schema } from "./config";
import { consume } from "./consumer";
import { searchMetrics } from "./metrics";
import { searchService } from "./rpc";
import { Projection } from "./projection";

void serve("search", schema, ({ bus, config, metrics }) => {
  const projection = new Projection(bus, {
    latheVersion: version(),
    nodeVersion: process.version,
    platform: `${platform()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "",
  });
  const observed = searchMetrics(metrics);
  return {
    services: [searchService(bus, projection, config.LATHE_MAX_SEARCHES)],
    consumers: [() => consume(bus, projection, observed)],
  };
});
