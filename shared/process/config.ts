import { readFileSync } from "node:fs";
import { delimiter, isAbsolute } from "node:path";
import { z } from "zod";
import { LatheError, type FieldViolation } from "./errors";

type Environment = Readonly<Record<string, string | undefined>>;

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A value of a type of its own, made from the text; undefined where it is not as expected. */
export function parsed<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string({ error: `must be ${expected}` }).transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: `must be ${expected}` });
    return z.NEVER;
  });
}

/** A whole number within [low, high]. */
export const integer = (low: number, high: number) =>
  parsed(`a whole number from ${low} to ${high}`, (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    return value >= low && value <= high ? value : undefined;
  });

/** A number within [low, high]. */
const number = (low: number, high: number) =>
  parsed(`a number from ${low} to ${high}`, (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    return value >= low && value <= high ? value : undefined;
  });

/** "500ms", "30s", "5m" or "1h", as milliseconds within [lowMs, highMs]. */
export const duration = (lowMs: number, highMs: number) =>
  parsed(`a duration such as 500ms, 30s or 5m, from ${lowMs} to ${highMs} ms`, (text) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
    if (!match) return undefined;
    const value = Number(match[1]) * units[match[2] as keyof typeof units];
    return value >= lowMs && value <= highMs ? value : undefined;
  });

/** One of the given words. */
export const oneOf = <const T extends readonly string[]>(words: T) =>
  parsed(`one of ${words.join(", ")}`, (text) => words.find((word): word is T[number] => word === text));

/** "1"/"true" or "0"/"false". */
export const flag = () =>
  parsed("1, true, 0 or false", (text) => ({ "1": true, true: true, "0": false, false: false })[text]);

/** Text that is not empty. */
export const text = (expected = "a text") => parsed(expected, (value) => value);

/** Absolute paths of folders, separated as those of PATH are; none for no folder at all. */
export const folders = () =>
  parsed(`absolute paths of folders, separated by "${delimiter}", or none`, (value) => {
    if (value === "none") return [];
    const paths = value.split(delimiter);
    return paths.every((path) => isAbsolute(path)) ? paths : undefined;
  });

/** The absolute path of a folder; "" for none. */
export const folder = () =>
  parsed("the absolute path of a folder, or none", (value) => {
    if (value === "none") return "";
    return isAbsolute(value) ? value : undefined;
  });

/**
 * Whether a text is a URL of these schemes whose name and password can be decoded ("/", "%" and "@" in them must be written as %2F, %25
 * and %40).
 */
function isUrl(text: string, schemes: readonly string[]): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  try {
    decodeURIComponent(username + password);
  } catch {
    return false;
  }
  return schemes.includes(protocol.slice(0, -1));
}

/** A URL with one of the given schemes; a comma-separated list is allowed, as NATS takes it. */
const urls = (schemes: readonly string[]) =>
  parsed(`one or more URLs, comma-separated, starting with ${schemes.map((s) => `${s}://`).join(" or ")}`, (value) =>
    value.split(",").every((part) => isUrl(part.trim(), schemes)) ? value : undefined,
  );

/** One URL with one of the given schemes, without a name or password: it is shown in logs. */
const url = (schemes: readonly string[]) =>
  parsed(
    `one URL starting with ${schemes.map((s) => `${s}://`).join(" or ")}, without a name or password in it`,
    (value) => {
      if (value.includes(",") || !isUrl(value, schemes)) return undefined;
      const { username, password } = new URL(value);
      return username === "" && password === "" ? value : undefined;
    },
  );

/** A file that must be readable now; the value is its path and its bytes. */
const file = () =>
  z.string().transform((path, context): { path: string; content: Buffer } => {
    try {
      return { path, content: readFileSync(path) };
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code ?? String(error);
      context.addIssue({ code: "custom", message: `must be a readable file (${why})` });
      return z.NEVER;
    }
  });

/** A file with one bearer token a line; empty lines and lines that start with # are ignored. */
const tokenFile = () =>
  file().transform(({ content }, context) => {
    const tokens = content
      .toString("utf8")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"));
    if (tokens.length === 0) context.addIssue({ code: "custom", message: "must hold at least one token" });
    const short = tokens.filter((token) => token.length < 16).length;
    if (short > 0)
      context.addIssue({ code: "custom", message: `has ${short} tokens under 16 characters; use random tokens` });
    return tokens;
  });

/** The prefix of the names of an installation on NATS, which is a token of subjects and a part of the names of streams. */
const natsPrefix = () =>
  parsed("1 to 32 of a-z, 0-9 and -, and not begin with -", (value) =>
    /^[a-z0-9][a-z0-9-]{0,31}$/.test(value) ? value : undefined,
  );

/** Settings of the connection to NATS. */
export const natsSchema = z.object({
  LATHE_NATS_URL: urls(["nats", "tls"]).default("nats://127.0.0.1:4222"),
  LATHE_NATS_CREDS: file().optional(),
  LATHE_NATS_PREFIX: natsPrefix().default(""),
  LATHE_NATS_REPLICAS: integer(1, 5).default(1),
  LATHE_NATS_TLS_CA_FILE: file().optional(),
  LATHE_NATS_TLS_CERT_FILE: file().optional(),
  LATHE_NATS_TLS_KEY_FILE: file().optional(),
});

export type NatsConfig = z.output<typeof natsSchema>;

/** Settings of every service process. A service adds its own: `baseSchema.extend({ LATHE_DEVICE: text() })`. */
export const baseSchema = z.object({
  LATHE_LOG_LEVEL: oneOf(["debug", "info", "warn", "error"]).default("info"),
  ...natsSchema.shape,
  LATHE_GRPC_HOST: text("a host name or address").default("127.0.0.1"),
  LATHE_GRPC_PORT: integer(0, 65535).default(0),
  LATHE_GRPC_INSECURE: flag().default(false),
  LATHE_HTTP_HOST: text("a host name or address").default("127.0.0.1"),
  LATHE_HTTP_PORT: integer(0, 65535).default(0),
  LATHE_TLS_CERT_FILE: file().optional(),
  LATHE_TLS_KEY_FILE: file().optional(),
  LATHE_TLS_CA_FILE: file().optional(),
  LATHE_AUTH_TOKEN_FILE: tokenFile().optional(),
  LATHE_OTLP_ENDPOINT: url(["http", "https"]).optional(),
  LATHE_TRACE_RATIO: number(0, 1).default(1),
  LATHE_SHUTDOWN_GRACE: duration(100, 3_600_000).default(30_000),
  LATHE_READY_FILE: text("a path").optional(),
  LATHE_EXIT_WITH_PARENT: flag().default(false),
});

export type BaseConfig = z.output<typeof baseSchema>;

/** Pairs of variables of which the first needs the second. */
const pairs = [
  ["LATHE_TLS_CERT_FILE", "LATHE_TLS_KEY_FILE"],
  ["LATHE_TLS_KEY_FILE", "LATHE_TLS_CERT_FILE"],
  ["LATHE_TLS_CA_FILE", "LATHE_TLS_CERT_FILE"],
  ["LATHE_NATS_TLS_CERT_FILE", "LATHE_NATS_TLS_KEY_FILE"],
  ["LATHE_NATS_TLS_KEY_FILE", "LATHE_NATS_TLS_CERT_FILE"],
] as const;

function shown(name: string, value: string | undefined): string {
  if (value === undefined) return "is not set";
  if (/TOKEN|SECRET|PASSWORD|CREDS/.test(name) && !name.endsWith("_FILE")) return "is [redacted]";
  return `is "${value.replace(/\/\/[^,]*@/g, "//[redacted]@")}"`;
}

/**
 * Parses the variables that `schema` names, with its defaults; an empty variable counts as unset. All faults come in one
 * INVALID_ARGUMENT error with one violation per variable: its name, its value (secrets redacted) and its bound.
 */
export function read<S extends z.ZodObject>(schema: S, env: Environment): z.output<S> {
  const values: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) if (env[name]) values[name] = env[name];
  const result = schema.safeParse(values);
  const faults: FieldViolation[] = (result.error?.issues ?? []).map((issue) => {
    const field = issue.path.map(String).join(".");
    return { field, description: `${shown(field, values[field])}: ${issue.message}` };
  });
  for (const [name, needed] of pairs) {
    if (name in schema.shape && values[name] && !values[needed]) {
      faults.push({ field: needed, description: `is not set: must be given, since ${name} is` });
    }
  }
  if (result.success && faults.length === 0) return result.data;
  throw new LatheError(
    "INVALID_ARGUMENT",
    `configuration: ${faults.map((fault) => `${fault.field} ${fault.description}`).join("; ")}`,
    { reason: "CONFIGURATION_INVALID", violations: faults },
  );
}
