import { arch, cpus, platform } from "node:os";
import { version } from "../../shared/process/root";
import { serve } from "../../shared/service/serve";
import { config } from "./config";
import { consume } from "./consumer";
import { searchMetrics } from "./metrics";
import { searchService } from "./rpc";
import { Searches } from "./searches";

void serve("search", config, ({ bus, metrics }) => {
  const searches = new Searches(bus, {
    latheVersion: version(),
    nodeVersion: process.version,
    platform: `${platform()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "",
  });
  const observed = searchMetrics(metrics);
  return { services: [searchService(bus, searches)], consumers: [() => consume(bus, searches, observed)] };
});
