import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import { fromServiceError } from "../../shared/rpc/errors";
import type { FieldViolation } from "../../shared/process/errors";
import type { Rpc } from "./rpcs";

export interface Answer {
  code: keyof typeof status;
  details: string;
  violations: readonly FieldViolation[];
  /** Messages that came. */
  messages: number;
  ms: number;
}

export interface Timing {
  deadlineMs: number | undefined;
  cancelAfterMs: number | undefined;
}

/**
 * A client without message types, on a connection of its own. gRPC itself repeats a call that a server has refused unread, as it does when
 * it ends a connection of 30 minutes; nothing else is repeated.
 */
export function openClient(address: string): Client {
  return new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
}

const same = (bytes: Buffer): Buffer => bytes;

/** Sends bytes as a request, and reads the answer to its end. */
export function send(client: Client, rpc: Rpc, bytes: Uint8Array, timing: Timing): Promise<Answer> {
  const { path, name, isStream } = rpc;
  const { deadlineMs, cancelAfterMs } = timing;
  const began = performance.now();
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return new Promise((resolve) => {
    let messages = 0;
    let timer: NodeJS.Timeout | undefined;
    const settle = (error: ServiceError | null) => {
      clearTimeout(timer);
      const code = (status[error?.code ?? status.OK] ?? "UNKNOWN") as Answer["code"];
      const callee = { name: rpc.service, address: client.getChannel().getTarget(), method: name };
      const violations = error ? fromServiceError(error, callee).violations : [];
      resolve({ code, details: error?.details ?? "", violations, messages, ms: performance.now() - began });
    };
    const call = isStream
      ? client
          .makeServerStreamRequest(path, same, same, Buffer.from(bytes), options)
          .on("data", () => messages++)
          .once("error", settle)
          .once("end", () => settle(null))
      : client.makeUnaryRequest(path, same, same, Buffer.from(bytes), options, (error) => {
          if (!error) messages++;
          settle(error);
        });
    if (cancelAfterMs !== undefined) timer = setTimeout(() => call.cancel(), cancelAfterMs);
  });
}
