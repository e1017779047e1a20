import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { LatheError } from "./errors";
import type { Logger } from "./logger";
import type { Metrics } from "./metrics";
import type { Readiness } from "./readiness";

interface HttpOptions {
  host: string;
  /** 0 for a free one. */
  port: number;
  metrics: Metrics;
  readiness: Readiness;
  logger: Logger;
  facts?: Facts;
}

/** The content of /about: a function per name. It must hold no secret, because /about requires no token. */
export type Facts = Record<string, () => unknown>;

interface HttpServer {
  port: number;
  stop(): Promise<void>;
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

const json = (status: number, value: unknown): Answer => ({
  status,
  type: "application/json",
  body: `${JSON.stringify(value)}\n`,
});

/**
 * Serves /metrics (Prometheus text), /healthz and /livez (200 while the event loop runs), /readyz (200 or 503, with each check) and /about
 * (facts about this process).
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, port, metrics, readiness, logger, facts = {} } = options;
  const alive = () => json(200, { status: "ok" });
  const routes: Record<string, () => Answer | Promise<Answer>> = {
    "/healthz": alive,
    "/livez": alive,
    "/readyz": () => {
      const { ready } = readiness;
      return json(ready ? 200 : 503, { ready, checks: readiness.report() });
    },
    "/about": async () => {
      const known = Object.entries(facts).map(async ([name, fact]) => [name, await fact()] as const);
      return json(200, Object.fromEntries(await Promise.all(known)));
    },
    "/metrics": async () => {
      const { registry } = metrics;
      return { status: 200, type: registry.contentType, body: await registry.metrics() };
    },
  };

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const route = routes[path];
    if (!route) return json(404, { error: `no ${path}; there are ${Object.keys(routes).join(", ")}` });
    if (request.method !== "GET" && request.method !== "HEAD") return json(405, { error: "only GET and HEAD" });
    try {
      return await route();
    } catch (error) {
      logger.error("http request failed", { path, error });
      return json(500, { error: "internal error; see the log" });
    }
  };
  const server = createServer((request, response) => {
    void answer(request).then(({ status, type, body }) => {
      response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
      response.end(request.method === "HEAD" ? undefined : body);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new LatheError("UNAVAILABLE", `http cannot listen on ${host}:${port}: ${error.message}`, {
          reason: error.code === "EADDRINUSE" ? "PORT_IN_USE" : "LISTEN_FAILED",
          cause: error,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
