type Methods<Port> = { [Name in keyof Port]: (...args: never[]) => unknown };

/** A call of one of a port's methods, as it travels from a worker's child process to its parent. */
export type Call<Port extends Methods<Port>> = {
  [Name in keyof Port]: { method: Name; args: Parameters<Port[Name]> };
}[keyof Port];

/** Replies of a port's methods. */
export type Reply<Port extends Methods<Port>> = Awaited<ReturnType<Port[keyof Port]>>;

/** Names of the methods that return no promise. The child sends them and waits for no reply. */
export type Notices<Port extends Methods<Port>> = {
  [Name in keyof Port as ReturnType<Port[Name]> extends Promise<unknown> ? never : Name]: true;
};

interface Channel<Port extends Methods<Port>> {
  send: (message: Call<Port>) => void;
  request: (message: Call<Port>) => Promise<unknown>;
  signal: AbortSignal;
}

/** The child's side of a port: each method becomes a message (a notice) or a request to the parent. `signal` is that of the job. */
export function portOf<Port extends Methods<Port>>(
  { send, request, signal }: Channel<Port>,
  notices: Notices<Port>,
): Port & { signal: AbortSignal } {
  const call =
    (method: string) =>
    (...args: unknown[]) => {
      const message = { method, args } as unknown as Call<Port>;
      return method in notices ? send(message) : request(message);
    };
  // A port has no method "then": an async function that returns one must not take it for a promise.
  const get = (_: object, name: string) => (name === "signal" ? signal : name === "then" ? undefined : call(name));
  return new Proxy({}, { get }) as Port & { signal: AbortSignal };
}

/** The parent's side: carries out each call by the port's method of that name. */
export function answerBy<Port extends Methods<Port>>(
  port: Port,
): (call: Call<Port>) => Promise<Reply<Port>> | Reply<Port> {
  return ({ method, args }) => port[method](...(args as never[])) as Reply<Port>;
}
