import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { LatheError } from "../process/errors";
import type { Logger } from "../process/logger";
import { toStatus, type RpcStatus } from "./errors";
import { requestReader, turnOf } from "./request";
import { inServerSpan, recordFailure } from "./tracing";

/** Context of a call, beside its request. */
interface CallContext {
  /** Aborts with a LatheError when the client cancels, the deadline passes or, for streams, the server stops. */
  signal: AbortSignal;
  /** The client's deadline, if it set one. */
  deadline: Date | undefined;
  metadata: Metadata;
  peer: string;
  logger: Logger;
}

/** Parts of the server that all methods share. */
interface Runtime {
  logger: Logger;
  /** Aborted when the server stops. */
  stopping: AbortSignal;
  /** A client of a stream that reads nothing for so long is dropped. */
  slowClientMs: number;
}

/** A response, or its parts: their lists are joined in order. */
type UnaryMethod<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response> | Response | Iterable<Response>;
type StreamMethod<Request, Response> = (request: Request, context: CallContext) => AsyncIterable<Response>;

interface MethodShape {
  requestStream: boolean;
  responseStream: boolean;
  requestDeserialize: (value: Buffer) => unknown;
  // A method, because each takes only its own response.
  responseSerialize(value: unknown): Buffer;
  responseDeserialize: (value: Buffer) => unknown;
}
export type RequestOf<M extends MethodShape> = ReturnType<M["requestDeserialize"]>;
export type ResponseOf<M extends MethodShape> = ReturnType<M["responseDeserialize"]>;

/** Any service definition that ts-proto generates. */
export type Definition = Readonly<Record<string, MethodShape & { path: string }>>;

/** The methods of a service as plain functions: async for unary, async generators for server streams. */
export type Methods<D extends Definition> = {
  [K in keyof D]: D[K]["responseStream"] extends true
    ? StreamMethod<RequestOf<D[K]>, ResponseOf<D[K]>>
    : UnaryMethod<RequestOf<D[K]>, ResponseOf<D[K]>>;
};

/** A service ready for `startServer`. */
export interface Service {
  definition: ServiceDefinition;
  /** "lathe.v1.SearchService". */
  name: string;
  bind(runtime: Runtime): Record<string, UntypedHandleCall>;
}

const bytesThemselves = (bytes: Buffer) => bytes;

/**
 * Joins a generated definition with the functions that answer it. The handlers decode and encode: grpc-js would answer bytes that cannot be
 * decoded with INTERNAL.
 */
export function service<D extends Definition>(definition: D, methods: Methods<D>): Service {
  const entries = Object.entries(definition);
  const onBytes = entries.map(([name, method]) => [
    name,
    { ...method, requestDeserialize: bytesThemselves, responseSerialize: bytesThemselves },
  ]);
  return {
    definition: Object.fromEntries(onBytes) as ServiceDefinition,
    name: entries[0]?.[1].path.split("/")[1] ?? "",
    bind: (runtime) =>
      Object.fromEntries(
        entries.map(([name, method]) => {
          const codec = {
            read: requestReader(method.path, method.requestDeserialize),
            write: (response: unknown) => method.responseSerialize(response),
          };
          const answer = methods[name] as UnaryMethod<unknown, unknown> | StreamMethod<unknown, unknown>;
          return [
            name,
            method.responseStream
              ? serverStream(answer as StreamMethod<unknown, unknown>, codec, runtime)
              : unary(answer as UnaryMethod<unknown, unknown>, codec, runtime),
          ];
        }),
      ),
  };
}

interface Codec<Request, Response> {
  read: (bytes: Buffer) => Promise<Request>;
  write: (response: Response) => Buffer;
}

type AnyCall = ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>;

function startCall(call: AnyCall, { logger }: Runtime): { context: CallContext; controller: AbortController } {
  const controller = new AbortController();
  const limit = call.getDeadline();
  const deadline = limit === Infinity ? undefined : new Date(limit);
  call.once("cancelled", () => {
    const late = deadline !== undefined && Date.now() >= deadline.getTime();
    controller.abort(
      late
        ? new LatheError("DEADLINE_EXCEEDED", `${call.getPath()}: the client's deadline has passed`)
        : new LatheError("CANCELLED", `${call.getPath()}: the client cancelled`),
    );
  });
  const context: CallContext = {
    signal: controller.signal,
    deadline,
    metadata: call.metadata,
    peer: call.getPeer(),
    logger: logger.child({ method: call.getPath() }),
  };
  return { context, controller };
}

/** Decodes the request and runs its answer in a span. `answer` gets the refusal of a request too, as a rejection. */
async function answerIn<Request>(
  call: AnyCall,
  read: (bytes: Buffer) => Promise<Request>,
  answer: (request: Promise<Request>) => Promise<void>,
): Promise<void> {
  const reading = read(call.request);
  const request = await reading.catch(() => undefined);
  await inServerSpan({ path: call.getPath(), metadata: call.metadata, request }, () => answer(reading));
}

/**
 * The status of a thrown value. Any value but a LatheError is a fault of the server: the client gets an incident number, the log the
 * details.
 */
function statusOf(thrown: unknown, logger: Logger): RpcStatus {
  if (thrown instanceof LatheError) {
    if (thrown.code === "INTERNAL") logger.error("call failed", { error: thrown });
    return toStatus(thrown);
  }
  const incident = randomUUID();
  logger.error("call failed", { incident, error: thrown });
  return toStatus(
    new LatheError("INTERNAL", `internal error; the log of the service has it as incident ${incident}`, {
      metadata: { incident },
    }),
  );
}

/** The bytes of a response. Between two parts of it other calls have their turn. */
async function written<Response>(
  answer: Response | Iterable<Response>,
  write: (response: Response) => Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  if (!isInParts(answer)) return write(answer);
  const parts: Buffer[] = [];
  for (const part of answer) {
    // Messages are merged by joining their bytes: lists follow each other.
    parts.push(write(part));
    await setImmediate();
    signal.throwIfAborted();
  }
  return Buffer.concat(parts);
}

function isInParts<Response>(answer: Response | Iterable<Response>): answer is Iterable<Response> {
  return typeof answer === "object" && answer !== null && Symbol.iterator in answer;
}

/** A grpc-js handler of an async function. */
function unary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  { read, write }: Codec<Request, Response>,
  runtime: Runtime,
): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const { context } = startCall(call, runtime);
    const answer = async (request: Promise<Request>) => {
      try {
        const response = await method(await request, context);
        await turnOf(call.request);
        callback(null, await written(response, write, context.signal));
      } catch (error) {
        // grpc-js drops this answer where the client has cancelled.
        const why: unknown = context.signal.aborted ? context.signal.reason : error;
        recordFailure(why);
        callback(statusOf(why, context.logger));
      }
    };
    void answerIn(call, read, answer);
  };
}

/**
 * A grpc-js handler of an async generator. It requests the next message only when the client has room, and ends the generator with the
 * call.
 */
function serverStream<Request, Response>(
  method: StreamMethod<Request, Response>,
  { read, write }: Codec<Request, Response>,
  runtime: Runtime,
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => {
    const { context, controller } = startCall(call, runtime);
    const { signal } = context;
    const onStop = () =>
      controller.abort(new LatheError("UNAVAILABLE", "the server is stopping", { reason: "SERVER_STOPPING" }));
    if (runtime.stopping.aborted) onStop();
    runtime.stopping.addEventListener("abort", onStop, { once: true });
    const pump = async (request: Promise<Request>) => {
      try {
        await pumpAll(method(await request, context), write, call, context, runtime.slowClientMs);
        call.end();
      } catch (error) {
        const why: unknown = signal.aborted ? signal.reason : error;
        recordFailure(why);
        call.emit("error", statusOf(why, context.logger));
      } finally {
        runtime.stopping.removeEventListener("abort", onStop);
      }
    };
    void answerIn(call, read, pump);
  };
}

/** Waits until the client has room again. A client that reads nothing for so long does not keep the messages that wait for it. */
async function drained(
  call: ServerWritableStream<Buffer, Buffer>,
  signal: AbortSignal,
  limitMs: number,
): Promise<void> {
  const patience = AbortSignal.timeout(limitMs);
  try {
    await once(call, "drain", { signal: AbortSignal.any([signal, patience]) });
  } catch (error) {
    if (signal.aborted || !patience.aborted) throw error;
    const message = `${call.getPath()}: the client has read nothing for ${limitMs / 1000} s; call again from the last message`;
    throw new LatheError("RESOURCE_EXHAUSTED", message, { reason: "CLIENT_TOO_SLOW" });
  }
}

async function pumpAll<Response>(
  source: AsyncIterable<Response>,
  write: (response: Response) => Buffer,
  call: ServerWritableStream<Buffer, Buffer>,
  { signal, logger }: CallContext,
  slowClientMs: number,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  let rejectAborted: (reason: Error) => void = () => {};
  const aborted = new Promise<never>((_, reject) => (rejectAborted = reject));
  aborted.catch(() => {});
  const onAbort = () => rejectAborted(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done) return;
      if (!call.write(write(next.value))) await drained(call, signal, slowClientMs);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: a generator that waits ends when its signal aborts.
    iterator.return?.().then(undefined, (error: unknown) => {
      if (!signal.aborted) logger.warn("a stream's source failed at its end", { error });
    });
  }
}
