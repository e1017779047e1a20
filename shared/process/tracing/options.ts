import type { Logger } from "../logger";

export interface TracingOptions {
  service: string;
  version: string;
  /** Base URL of an OTLP/HTTP receiver, e.g. http://127.0.0.1:4318; undefined: tracing is off. */
  endpoint: string | undefined;
  /** Share of the searches, and of the calls that come without a trace, that is exported, 0 to 1. */
  ratio: number;
  logger: Logger;
}
