import { randomBytes } from "node:crypto";
import type { IdGenerator } from "@opentelemetry/sdk-trace";

/** Random ids. The ids of the next root span can be given. */
class Ids implements IdGenerator {
  private given: { traceId?: string | undefined; spanId?: string | undefined } = {};

  use(traceId: string, spanId: string): void {
    this.given = { traceId, spanId };
  }

  generateTraceId = (): string => {
    const { traceId } = this.given;
    this.given.traceId = undefined;
    return traceId ?? randomBytes(16).toString("hex");
  };

  generateSpanId = (): string => {
    const { spanId } = this.given;
    this.given.spanId = undefined;
    return spanId ?? randomBytes(8).toString("hex");
  };
}

export const ids = new Ids();
