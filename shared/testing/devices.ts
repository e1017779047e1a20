import type { Bus } from "../events/bus";
import { announce, type Announcement } from "../events/presence";
import { DeviceFigures } from "../proto/lathe/v1/result";

/** Announces a latency worker, as its process would, that takes no work. */
export async function announceDevice(bus: Bus, deviceClass = "cpu", cores = 4): Promise<Announcement> {
  const presence = announce(bus, DeviceFigures.fromPartial({ deviceClass, cpu: { cores } }));
  await presence.announced;
  return presence;
}
