import { arch, cpus, platform } from "node:os";
import { baseSchema } from "../../shared/process/config";
import { version } from "../../shared/process/root";
import { serve } from "../../shared/service/serve";
import { consume } from "./consumer";
import { searchMetrics } from "./metrics";
import { searchService } from "./rpc";
import { Projection } from "./projection";

void serve("search", baseSchema, ({ bus, metrics }) => {
  const projection = new Projection(bus, {
    latheVersion: version(),
    nodeVersion: process.version,
    platform: `${platform()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "",
  });
  const observed = searchMetrics(metrics);
  return { services: [searchService(bus, projection)], consumers: [() => consume(bus, projection, observed)] };
});
