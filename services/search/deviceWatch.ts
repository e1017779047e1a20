import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { concerns, type Devices } from "./devices";
import type { Projection } from "./projection";

/** Follows the searches that need a latency worker, and tells each whether one of its class is alive. */
export class DeviceWatch {
  private readonly open = new Map<string, Search>();
  private looking: Promise<void> | undefined;

  constructor(
    private readonly devices: Devices,
    private readonly projection: Pick<Projection, "current">,
    private readonly logger: Pick<Logger, "warn">,
  ) {}

  /** Notes the state of a search, whichever event has changed it. */
  note(search: Search): void {
    if (concerns(search)) this.open.set(search.id, search);
    else this.open.delete(search.id);
  }

  forget(searchId: string): void {
    this.open.delete(searchId);
  }

  /** Looks once at every search that needs a worker; one look at a time. */
  look(): Promise<void> {
    return (this.looking ??= this.lookNow().finally(() => (this.looking = undefined)));
  }

  private async lookNow(): Promise<void> {
    if (this.open.size === 0) return;
    try {
      for (const id of await this.devices.outdated([...this.open.values()])) await this.tell(id);
    } catch (error) {
      // An outage; the next look repeats it.
      this.logger.warn("the workers of searches could not be looked for", { error });
    }
  }

  private async tell(searchId: string): Promise<void> {
    try {
      // Another process may have taken in later events of the search.
      const record = await this.projection.current(searchId);
      this.note(record.search);
      if (concerns(record.search)) await this.devices.tell(record);
    } catch (thrown) {
      if (LatheError.from(thrown).code !== "NOT_FOUND") throw thrown;
      this.forget(searchId);
    }
  }
}
