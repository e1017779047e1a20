import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A TCP relay between a service and NATS, which delays what both say, or breaks their connection. */
export class Relay {
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private held = false;

  private constructor(
    private readonly server: Server,
    /** URL of NATS for the service. */
    readonly url: string,
  ) {}

  /** Listens on a free port of loopback. */
  static async start(natsPort: number): Promise<Relay> {
    const server = createServer((client) => relay.accept(client, connect(natsPort, "127.0.0.1")));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const relay: Relay = new Relay(server, `nats://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return relay;
  }

  /** From now on nothing passes, in either direction, and both sides believe that they are connected. */
  hold(): void {
    this.held = true;
    for (const pair of this.pairs) stop(pair);
  }

  /** Lets the held messages pass, in their order. */
  release(): void {
    this.held = false;
    for (const pair of this.pairs) join(pair);
  }

  /** Breaks the connections. What is on its way is lost. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
  }

  private accept(...pair: readonly [Socket, Socket]): void {
    this.pairs.add(pair);
    const end = () => {
      this.pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.setNoDelay(true).on("error", end).on("close", end);
    if (!this.held) join(pair);
  }
}

function join([one, other]: readonly [Socket, Socket]): void {
  one.pipe(other);
  other.pipe(one);
}

function stop(pair: readonly [Socket, Socket]): void {
  for (const socket of pair) socket.unpipe().pause();
}
