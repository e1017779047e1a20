import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ChannelCredentials, Metadata } from "@grpc/grpc-js";
import { SERVICES, type ServiceName } from "../cli/stack/stack";
import { rootOf } from "../shared/process/tracing/searchTrace";
import { SearchServiceClient, SearchState } from "../shared/proto/lathe/v1/search";
import { until } from "../shared/testing/until";
import { smallSpec } from "./specs";
import { System } from "./system";

interface Span {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  /** 2 server, 4 producer, 5 consumer. */
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  status: { code?: number };
}

type Entry = { key: string; value: Record<string, unknown> };
const plain = (attributes: Entry[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

interface Export {
  resourceSpans: {
    resource: { attributes: Entry[] };
    scopeSpans: { spans: (Omit<Span, "service" | "attributes"> & { attributes: Entry[] })[] }[];
  }[];
}

/** A receiver of OTLP over HTTP that keeps every span. */
async function receiver(): Promise<{ url: string; spans: Span[]; server: Server }> {
  const spans: Span[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Export;
      for (const { resource, scopeSpans } of body.resourceSpans)
        for (const span of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({
            ...span,
            service: String(plain(resource.attributes)["service.name"]),
            attributes: plain(span.attributes),
            links: span.links ?? [],
          });
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, server };
}

/** Starts a search by a client that traces its calls. */
function startFrom(address: string, traceparent: string): Promise<string> {
  const client = new SearchServiceClient(address, ChannelCredentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("traceparent", traceparent);
  return new Promise((resolve, reject) => {
    client.startSearch({ spec: smallSpec(), requestId: "" }, metadata, (error, answer) => {
      client.close();
      if (error) reject(error);
      else resolve(answer.search!.id);
    });
  });
}

const logOf = ({ stack }: System, service: ServiceName) =>
  readFileSync(stack.logFile(service), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("a search whose spans are exported", () => {
  const clientTrace = "0123456789abcdef0123456789abcdef";
  const traceparent = `00-${clientTrace}-0123456789abcdef-01`;
  let id: string;
  let spans: Span[];
  let epochs: number;
  let lines: Record<string, unknown>[];

  beforeAll(async () => {
    const { url, spans: received, server } = await receiver();
    const system = await System.start({ LATHE_OTLP_ENDPOINT: `${url}/` });
    try {
      id = await startFrom(system.stack.addresses().search.grpc, traceparent);
      epochs = (await system.ended(id)).result!.convergedEpoch;
      lines = SERVICES.flatMap((name) => logOf(system, name));
    } finally {
      // The stop exports the spans that the services still hold.
      await system.stop();
      server.close();
    }
    spans = received;
  });

  const ofTrace = () => spans.filter(({ traceId }) => traceId === rootOf(id).traceId);
  const named = (name: string) => ofTrace().filter((span) => span.name === name);

  it("is one trace, with each epoch as a span and every service in it", () => {
    const strays = spans.filter(
      ({ attributes, traceId, kind }) =>
        attributes["lathe.search_id"] === id && kind !== 2 && traceId !== rootOf(id).traceId,
    );
    expect(strays).toEqual([]);
    expect(new Set(ofTrace().map(({ service }) => service))).toEqual(
      new Set(["search", "supernet", "shrinking", "discretization", "latency"]),
    );
    expect(epochs).toBeGreaterThan(0);
    for (let epoch = 1; epoch <= epochs; epoch++) {
      const [span, ...others] = named(`epoch ${epoch}`);
      expect(others).toEqual([]);
      expect(span?.attributes).toMatchObject({
        "lathe.epoch": epoch,
        "lathe.validation_miou": expect.any(Number) as number,
      });
      expect(BigInt(span!.endTimeUnixNano)).toBeGreaterThan(BigInt(span!.startTimeUnixNano));
    }
    for (const name of ["work train", "work derive", "work retrain", "work profile"])
      expect(named(name).length).toBeGreaterThan(0);
  });

  it("has one root span over its whole time, and no span without its parent", () => {
    const roots = ofTrace().filter(({ parentSpanId }) => !parentSpanId);
    expect(roots).toHaveLength(1);
    expect(roots[0]).toMatchObject({
      name: "search",
      service: "search",
      spanId: rootOf(id).spanId,
      attributes: { "lathe.outcome": "search.succeeded" },
    });
    const known = new Set(ofTrace().map(({ spanId }) => spanId));
    const orphans = ofTrace().filter(({ parentSpanId }) => parentSpanId && !known.has(parentSpanId));
    expect(orphans.map(({ name }) => name)).toEqual([]);
    expect(ofTrace().filter(({ status }) => status.code === 2)).toEqual([]);
  });

  it("carries the context through NATS: the span of a decision is below that of its epoch", () => {
    const byId = new Map(ofTrace().map((span) => [span.spanId, span]));
    const above = (span: Span): string[] => {
      const parent = byId.get(span.parentSpanId ?? "");
      return parent ? [parent.name, ...above(parent)] : [];
    };
    const decisions = ofTrace().filter(({ service, kind }) => service === "shrinking" && kind === 4);
    expect(decisions).toHaveLength(epochs);
    expect(decisions.map((span) => above(span).find((name) => name.startsWith("epoch "))).sort()).toEqual(
      Array.from({ length: epochs }, (_, index) => `epoch ${index + 1}`).sort(),
    );
    expect(above(decisions[0]!)).toEqual([
      "process epoch.completed",
      "publish epoch.completed",
      expect.stringMatching(/^epoch /),
      "work train",
      "publish work train",
      "process search.created",
      "publish search.created",
      "search",
    ]);
  });

  it("carries the context through gRPC: the call belongs to the client's trace, and the search links to it", () => {
    const [call] = spans.filter(({ name }) => name === "lathe.v1.SearchService/StartSearch");
    expect(call).toMatchObject({ traceId: clientTrace, parentSpanId: "0123456789abcdef", kind: 2 });
    expect(named("publish search.created")[0]?.links).toMatchObject([{ traceId: clientTrace, spanId: call!.spanId }]);
  });

  it("appears in log lines with its trace", () => {
    const about = lines.filter(({ searchId }) => searchId === id);
    expect(about.length).toBeGreaterThan(3);
    expect(about.filter(({ traceId }) => traceId !== rootOf(id).traceId)).toEqual([]);
  });
});

it("a receiver that refuses spans disturbs neither searches nor stops, and costs each service a log line a minute", async () => {
  const server = createServer((_request, response) => response.writeHead(401).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const system = await System.start({ LATHE_OTLP_ENDPOINT: endpoint });
  const kept: Record<string, unknown>[] = [];
  try {
    const { search } = await system.run(smallSpec());
    expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const warnings = () =>
      SERVICES.map((name) => logOf(system, name).filter(({ msg }) => String(msg).startsWith("spans are lost")));
    const lost = await until(warnings, (lines) => lines.flat().length > 0);
    for (const lines of lost) expect(lines.length).toBeLessThanOrEqual(1);
    expect(lost.flat()[0]).toMatchObject({ level: "warn", endpoint });
    expect(lost.flat()[0]).not.toHaveProperty("searchId");
  } finally {
    await system.stack.stop();
    for (const name of SERVICES) kept.push(...logOf(system, name));
    await system.stop();
    server.close();
  }
  expect(kept.filter(({ level }) => level === "error")).toEqual([]);
  expect(kept.filter(({ msg }) => /stop of|overran|failed/.test(String(msg)))).toEqual([]);
});
