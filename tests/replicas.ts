import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "../cli/stack/child";
import { startGuard, type Guard } from "../cli/stack/guard";
import { serviceProcess, type ServiceAddress, type ServiceName } from "../cli/stack/stack";
import { takeStateFolder, type StateFolder } from "../cli/stack/state";
import { PATIENCE_MS } from "../shared/testing/until";
import { compiled } from "./compiled";
import { newFolder, SERVICE_ENV } from "./system";

/** Second processes of some services, on the NATS of a system. */
export class Replicas {
  private constructor(
    private readonly children: readonly Child[],
    private readonly guard: Guard,
    private readonly state: StateFolder,
    /** By service. */
    readonly addresses: Readonly<Partial<Record<ServiceName, ServiceAddress>>>,
  ) {}

  static async start(natsUrl: string, services: readonly ServiceName[]): Promise<Replicas> {
    const state = takeStateFolder(newFolder());
    const guard = startGuard();
    const options = { env: SERVICE_ENV, services: join(compiled(), "services") };
    const started = await Promise.all(
      services.map(async (name) => {
        const replica = serviceProcess(name, natsUrl, state, guard, options);
        return { name, child: await replica.start(new AbortController().signal), address: replica.address() };
      }),
    );
    const addresses = Object.fromEntries(started.map(({ name, address }) => [name, address]));
    return new Replicas(
      started.map(({ child }) => child),
      guard,
      state,
      addresses,
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.children.map((child) => child.stop(PATIENCE_MS)));
    await this.guard.stop();
    rmSync(this.state.folder, { recursive: true, force: true });
  }
}
