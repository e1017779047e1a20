import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { LatheError, type ErrorCode } from "../process/errors";
import { BadRequest, ErrorInfo, RetryInfo } from "../proto/google/rpc/error_details";
import { Status } from "../proto/google/rpc/status";

const errorDomain = "lathe.dev";
const detailsKey = "grpc-status-details-bin";
const errorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";
const retryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";
const badRequestUrl = "type.googleapis.com/google.rpc.BadRequest";

/** Common clients refuse trailers over 8 kB, and base64 adds a third. */
const maxDetailsBytes = 5000;
const maxMessageLength = 1500;

/** A status as grpc-js takes it from a handler. */
export interface RpcStatus {
  code: status;
  details: string;
  metadata: Metadata;
}

/**
 * A message of bounded length. grpc-js throws at half of a surrogate pair, which is left where a quoted value is cut within a character;
 * the throw would end the service.
 */
function sendable(text: string): string {
  const short = text.length <= maxMessageLength ? text : `${text.slice(0, maxMessageLength)}...`;
  return short.replace(/\p{Surrogate}/gu, "\ufffd");
}

function encodeStatus(error: LatheError, message: string, violations: LatheError["violations"]): Buffer {
  const omitted = error.violations.length - violations.length;
  const info = ErrorInfo.fromPartial({
    reason: error.reason,
    domain: errorDomain,
    metadata: { ...error.metadata, ...(omitted > 0 && { violations_omitted: String(omitted) }) },
  });
  const details = [{ typeUrl: errorInfoUrl, value: Buffer.from(ErrorInfo.encode(info).finish()) }];
  if (error.retryAfterMs !== undefined) {
    const retryDelay = { seconds: Math.floor(error.retryAfterMs / 1000), nanos: (error.retryAfterMs % 1000) * 1e6 };
    details.push({ typeUrl: retryInfoUrl, value: Buffer.from(RetryInfo.encode({ retryDelay }).finish()) });
  }
  if (violations.length > 0) {
    const badRequest = BadRequest.fromPartial({ fieldViolations: [...violations] });
    details.push({ typeUrl: badRequestUrl, value: Buffer.from(BadRequest.encode(badRequest).finish()) });
  }
  return Buffer.from(Status.encode(Status.fromPartial({ code: status[error.code], message, details })).finish());
}

/**
 * The gRPC status of an error, with google.rpc.ErrorInfo, RetryInfo and BadRequest in its details. Violations that do not fit a trailer are counted
 * instead of sent.
 */
export function toStatus(error: LatheError): RpcStatus {
  const message = sendable(error.message);
  let { violations } = error;
  let encoded = encodeStatus(error, message, violations);
  while (encoded.length > maxDetailsBytes && violations.length > 0) {
    violations = violations.slice(0, Math.floor(violations.length * 0.8));
    encoded = encodeStatus(error, message, violations);
  }
  const metadata = new Metadata();
  // The metadata alone may still be too long. Then only code and message are sent.
  if (encoded.length <= maxDetailsBytes) metadata.set(detailsKey, encoded);
  return { code: status[error.code], details: message, metadata };
}

/** The codes of Lathe by gRPC status; those that only a proxy or grpc-js uses are mapped to the nearest. */
const codes: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: "INVALID_ARGUMENT",
  [status.NOT_FOUND]: "NOT_FOUND",
  [status.ALREADY_EXISTS]: "ALREADY_EXISTS",
  [status.FAILED_PRECONDITION]: "FAILED_PRECONDITION",
  [status.ABORTED]: "ABORTED",
  [status.CANCELLED]: "CANCELLED",
  [status.RESOURCE_EXHAUSTED]: "RESOURCE_EXHAUSTED",
  [status.UNAVAILABLE]: "UNAVAILABLE",
  [status.UNIMPLEMENTED]: "UNIMPLEMENTED",
  [status.DEADLINE_EXCEEDED]: "DEADLINE_EXCEEDED",
  [status.OUT_OF_RANGE]: "INVALID_ARGUMENT",
  [status.UNAUTHENTICATED]: "FAILED_PRECONDITION",
  [status.PERMISSION_DENIED]: "FAILED_PRECONDITION",
};

/** The called service and method, for messages of transport errors. */
export interface Callee {
  /** "search service". */
  name: string;
  address: string;
  method: string;
}

function readDetails(error: ServiceError): { info?: ErrorInfo; badRequest?: BadRequest; retryInfo?: RetryInfo } {
  const [raw] = error.metadata?.get(detailsKey) ?? [];
  if (!Buffer.isBuffer(raw)) return {};
  const found: ReturnType<typeof readDetails> = {};
  for (const { typeUrl, value } of Status.decode(raw).details) {
    if (typeUrl === errorInfoUrl) found.info = ErrorInfo.decode(value);
    if (typeUrl === retryInfoUrl) found.retryInfo = RetryInfo.decode(value);
    if (typeUrl === badRequestUrl) found.badRequest = BadRequest.decode(value);
  }
  return found;
}

/** The cause in a message of grpc-js, each of whose layers prepends "No connection established. Last error: ". */
function causeOf(details: string): string {
  const last = details.split("Last error: ").at(-1) ?? details;
  return last
    .replace(/\.?\s*Resolution note:.*$/s, "")
    .replace(/^[A-Za-z]*Error(?: \[\w+\])?: /, "")
    .trim();
}

function transportMessage(error: ServiceError, { name, address, method }: Callee): string {
  switch (error.code) {
    case status.UNAVAILABLE:
      return `${name} at ${address} is not reachable: ${causeOf(error.details)}`;
    case status.DEADLINE_EXCEEDED:
      return `${name} at ${address} did not answer ${method} in time: ${error.details.split(",")[0]}`;
    default:
      return `${name} at ${address}, ${method}: ${error.details || status[error.code]}`;
  }
}

/** The LatheError that the server threw; for errors of grpc-js, one that names the callee. */
export function fromServiceError(error: ServiceError, callee: Callee): LatheError {
  const code = codes[error.code] ?? "INTERNAL";
  const { info, badRequest, retryInfo } = readDetails(error);
  const delay = retryInfo?.retryDelay;
  if (info?.domain === errorDomain) {
    return new LatheError(code, error.details, {
      reason: info.reason,
      metadata: info.metadata,
      ...(delay && { retryAfterMs: delay.seconds * 1000 + delay.nanos / 1e6 }),
      violations: badRequest?.fieldViolations ?? [],
      cause: error,
    });
  }
  // The client has not cancelled, so the server was cut off during the call.
  if (error.code === status.CANCELLED) {
    const message = `${callee.name} at ${callee.address} broke off ${callee.method}: ${error.details}`;
    return new LatheError("UNAVAILABLE", message, { reason: "SERVICE_UNREACHABLE", cause: error });
  }
  const reason = error.code === status.UNAVAILABLE ? "SERVICE_UNREACHABLE" : (status[error.code] ?? code);
  return new LatheError(code, transportMessage(error, callee), { reason, cause: error });
}
