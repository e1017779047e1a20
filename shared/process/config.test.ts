import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { baseSchema, duration, integer, oneOf, read, text } from "./config";
import type { LatheError } from "./errors";

const folder = mkdtempSync(join(tmpdir(), "lathe-config-"));
afterAll(() => rmSync(folder, { recursive: true }));
const fileOf = (name: string, content: string) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const faultsOf = (env: Record<string, string>, own: z.ZodRawShape = {}): LatheError => {
  try {
    read(baseSchema.extend(own), env);
  } catch (error) {
    return error as LatheError;
  }
  throw new Error("no fault found");
};

const { LATHE_TRACE_RATIO, LATHE_GRPC_INSECURE, LATHE_NATS_URL } = baseSchema.shape;

describe("the schema of a variable", () => {
  it.each([
    [integer(0, 65535), "65535", 65535],
    [integer(0, 65535), "65536", undefined],
    [integer(0, 65535), "1.5", undefined],
    [integer(0, 65535), "0x10", undefined],
    [integer(-5, 5), "-5", -5],
    [LATHE_TRACE_RATIO, "0.25", 0.25],
    [LATHE_TRACE_RATIO, "one", undefined],
    [LATHE_TRACE_RATIO, "NaN", undefined],
    [duration(0, 3_600_000), "500ms", 500],
    [duration(0, 3_600_000), "1.5s", 1500],
    [duration(0, 3_600_000), "2m", 120_000],
    [duration(0, 3_600_000), "1h", 3_600_000],
    [duration(0, 3_600_000), "2h", undefined],
    [duration(0, 3_600_000), "30", undefined],
    [oneOf(["cpu", "cuda"]), "cuda", "cuda"],
    [oneOf(["cpu", "cuda"]), "tpu", undefined],
    [LATHE_GRPC_INSECURE, "1", true],
    [LATHE_GRPC_INSECURE, "false", false],
    [LATHE_GRPC_INSECURE, "yes", undefined],
    [LATHE_NATS_URL, "nats://a:1,tls://b:2", "nats://a:1,tls://b:2"],
    [LATHE_NATS_URL, "nats://a:1,http://b", undefined],
    [LATHE_NATS_URL, "localhost", undefined],
  ])("%# takes %3$s or not: %s", (piece, given, expected) => {
    const result = z.object({ X: piece }).safeParse({ X: given });
    expect(result.success ? result.data.X : undefined).toBe(expected);
  });
});

describe("read", () => {
  it("returns the defaults, and treats an empty variable as unset", () => {
    const config = read(baseSchema, { LATHE_GRPC_PORT: "", LATHE_LOG_LEVEL: "debug", OTHER: "x" });
    expect(config).toMatchObject({
      LATHE_LOG_LEVEL: "debug",
      LATHE_GRPC_HOST: "127.0.0.1",
      LATHE_GRPC_PORT: 0,
      LATHE_SHUTDOWN_GRACE: 30_000,
      LATHE_NATS_URL: "nats://127.0.0.1:4222",
    });
    expect(config.LATHE_TLS_CERT_FILE).toBeUndefined();
  });

  it("reads files: bytes, and tokens one per line", () => {
    const config = read(baseSchema, {
      LATHE_NATS_CREDS: fileOf("creds", "abc"),
      LATHE_AUTH_TOKEN_FILE: fileOf("tokens", "# operators\nfirst-token-12345\n\n second-token-1234 \n"),
    });
    expect(config.LATHE_NATS_CREDS?.content.toString()).toBe("abc");
    expect(config.LATHE_AUTH_TOKEN_FILE).toEqual(["first-token-12345", "second-token-1234"]);
  });

  it("names all faults at once, each with its variable, value and bound", () => {
    const error = faultsOf(
      {
        LATHE_GRPC_PORT: "70000",
        LATHE_SHUTDOWN_GRACE: "soon",
        LATHE_NATS_URL: "http://user:hunter2@nats:4222",
        LATHE_TLS_CERT_FILE: "/nowhere/tls.crt",
        LATHE_AUTH_TOKEN_FILE: fileOf("short", "abc\n"),
        LATHE_API_TOKEN: "hunter2",
      },
      { LATHE_DEVICE: text("a device class"), LATHE_API_TOKEN: oneOf(["a"]) },
    );
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "CONFIGURATION_INVALID" });
    const descriptions = Object.fromEntries(error.violations.map((one) => [one.field, one.description]));
    expect(descriptions).toMatchObject({
      LATHE_GRPC_PORT: 'is "70000": must be a whole number from 0 to 65535',
      LATHE_TLS_CERT_FILE: 'is "/nowhere/tls.crt": must be a readable file (ENOENT)',
      LATHE_TLS_KEY_FILE: "is not set: must be given, since LATHE_TLS_CERT_FILE is",
      LATHE_DEVICE: "is not set: must be a device class",
      LATHE_API_TOKEN: "is [redacted]: must be one of a",
    });
    expect(descriptions["LATHE_SHUTDOWN_GRACE"]).toContain('is "soon": must be a duration');
    expect(descriptions["LATHE_NATS_URL"]).toContain('is "http://[redacted]@nats:4222"');
    expect(descriptions["LATHE_AUTH_TOKEN_FILE"]).toContain("1 tokens under 16 characters");
    expect(error.violations).toHaveLength(8);
    for (const { field } of error.violations) expect(error.message).toContain(field);
    expect(error.message).not.toContain("hunter2");
  });

  it.each([
    ["nats://search:aB3/x9Q=@nats:4222"],
    ["nats://a:1@one:4222,nats://search:50%@two:4222"],
    ["ftp://search:p@ss/word@nats:4222"],
  ])("reveals no password of %s", (LATHE_NATS_URL) => {
    let message = "";
    try {
      read(baseSchema, { LATHE_NATS_URL });
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message).toContain("[redacted]@");
    for (const part of ["aB3", "x9Q", "50%", "p@ss", "word", "search"]) expect(message).not.toContain(part);
  });

  it.each(["Team", "a.b", "-a", "a_b", "a>", "a".repeat(33)])("refuses %s as the prefix of names on NATS", (prefix) => {
    expect(() => read(baseSchema, { LATHE_NATS_PREFIX: prefix })).toThrow(
      `LATHE_NATS_PREFIX is "${prefix}": must be 1 to 32 of a-z, 0-9 and -, and not begin with -`,
    );
    expect(read(baseSchema, { LATHE_NATS_PREFIX: "team-1" }).LATHE_NATS_PREFIX).toBe("team-1");
    expect(read(baseSchema, {}).LATHE_NATS_PREFIX).toBe("");
  });

  it.each(["http://a:4318,http://b:4318", "http://user:secret@collector:4318", "collector:4318"])(
    "refuses %s as the receiver of traces",
    (LATHE_OTLP_ENDPOINT) => {
      expect(() => read(baseSchema, { LATHE_OTLP_ENDPOINT })).toThrow(/LATHE_OTLP_ENDPOINT .*must be one URL/);
    },
  );
});
