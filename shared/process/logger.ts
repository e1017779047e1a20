import { context, trace } from "@opentelemetry/api";
import { LatheError } from "./errors";
import { searchOf } from "./tracing/span";

type Level = "debug" | "info" | "warn" | "error";
type Fields = Readonly<Record<string, unknown>>;

/** Writes one JSON object per line; a field named `error` is written with its code, reason and causes. */
export interface Logger {
  debug(msg: string, fields?: Fields): void;
  info(msg: string, fields?: Fields): void;
  warn(msg: string, fields?: Fields): void;
  error(msg: string, fields?: Fields): void;
  /** A logger that adds `fields` to each line. */
  child(fields: Fields): Logger;
}

interface LoggerOptions {
  service: string;
  level?: Level;
  /** Writes one line, newline included; to stderr by default. */
  write?: (line: string) => void;
}

const rank: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };
const secret = /token|secret|password|passwd|authorization|credential|creds|privatekey/i;
const maxCauses = 5;

/**
 * An error as plain data: message, code and reason where it has them, its chain of causes, and the stack of errors other than
 * LatheErrors.
 */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as { code?: unknown };
  const own =
    error instanceof LatheError
      ? {
          code: error.code,
          reason: error.reason,
          ...(error.violations.length > 0 && { violations: error.violations }),
          ...(Object.keys(error.metadata).length > 0 && { metadata: error.metadata }),
        }
      : { ...(code !== undefined && { code }), stack: error.stack };
  return {
    name: error.name,
    message: error.message,
    ...own,
    ...(error.cause !== undefined && depth < maxCauses && { cause: describeError(error.cause, depth + 1) }),
  };
}

function plain(this: Record<string, unknown>, key: string, value: unknown): unknown {
  if (secret.test(key) && value !== undefined && value !== null && typeof value !== "number") return "[redacted]";
  if (value instanceof Error) return describeError(value);
  if (typeof value === "bigint") return value.toString();
  // `this[key]`: a Buffer has already become an object of numbers in `value`.
  const raw = this[key];
  if (ArrayBuffer.isView(raw)) return `[${raw.byteLength} bytes]`;
  return value;
}

function encode(record: Record<string, unknown>): string {
  try {
    return JSON.stringify(record, plain);
  } catch (error) {
    // A cycle among the fields must not lose the line.
    const { time, level, service, msg } = record;
    return JSON.stringify({ time, level, service, msg, fieldsLost: String(error) });
  }
}

let guarded = false;

/** Writes to stderr. Its reader may have ended (a killed launcher), and a broken pipe must not fail this process. */
function writeToStderr(line: string): void {
  if (!guarded) {
    guarded = true;
    process.stderr.on("error", () => {});
  }
  process.stderr.write(line);
}

/** Search and trace of the running code; empty where the line names another search. */
function about(line: Fields): Fields {
  const active = context.active();
  const searchId = searchOf(active);
  if (line.searchId !== undefined && line.searchId !== searchId) return {};
  const traceId = trace.getSpanContext(active)?.traceId;
  return { ...(searchId !== undefined && { searchId }), ...(traceId !== undefined && { traceId }) };
}

/** A logger of JSON lines {time, level, service, msg, ...fields}; the values of fields named like secrets are redacted. */
export function createLogger({ service, level = "info", write = writeToStderr }: LoggerOptions): Logger {
  const at = (bound: Fields): Logger => {
    const emit = (lineLevel: Level) => (msg: string, fields?: Fields) => {
      if (rank[lineLevel] < rank[level]) return;
      const time = new Date().toISOString();
      // The head comes twice: first for the order of the names, last so that no field can overwrite it.
      const head = { time, level: lineLevel, service, msg };
      const own = { ...bound, ...fields };
      write(`${encode({ ...head, ...about(own), ...own, ...head })}\n`);
    };
    return {
      debug: emit("debug"),
      info: emit("info"),
      warn: emit("warn"),
      error: emit("error"),
      child: (fields) => at({ ...bound, ...fields }),
    };
  };
  return at({});
}
