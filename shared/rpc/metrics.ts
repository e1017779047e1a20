import { X509Certificate } from "node:crypto";
import { status, type ServerInterceptor } from "@grpc/grpc-js";
import { ResponderBuilder, ServerInterceptingCall, ServerListenerBuilder } from "@grpc/grpc-js";
import type { Logger } from "../process/logger";
import type { Metrics } from "../process/metrics";

/** The labels of a method's metrics. */
interface MethodLabels {
  grpc_type: "unary" | "client_stream" | "server_stream" | "bidi_stream";
  grpc_service: string;
  grpc_method: string;
}

interface MethodFacts {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
}

const labelNames = ["grpc_type", "grpc_service", "grpc_method"] as const;

/** "DEADLINE_EXCEEDED" -> "DeadlineExceeded", as the Go exporters and stock dashboards spell it. */
function codeName(code: status): string {
  if (code === status.OK) return "OK";
  if (code === status.CANCELLED) return "Canceled";
  const words = (status[code] ?? "UNKNOWN").toLowerCase().split("_");
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("");
}

const allCodes = Object.values(status)
  .filter((code) => typeof code === "number")
  .map(codeName);

function labelsOf({ path, requestStream, responseStream }: MethodFacts): MethodLabels {
  const [, grpc_service = "", grpc_method = ""] = path.split("/");
  const grpc_type = requestStream
    ? responseStream
      ? "bidi_stream"
      : "client_stream"
    : responseStream
      ? "server_stream"
      : "unary";
  return { grpc_type, grpc_service, grpc_method };
}

interface ServerMetrics {
  /** Sets all series of a method to 0, so that rates exist before its first call. */
  preregister(method: MethodFacts): void;
  /** Counts and times each call and logs it at debug. */
  interceptor: ServerInterceptor;
}

/** The gRPC server metrics under the names of go-grpc-prometheus. */
export function serverMetrics(metrics: Metrics, logger: Logger): ServerMetrics {
  const started = metrics.counter("grpc_server_started_total", "Calls started on the server.", labelNames);
  const handled = metrics.counter("grpc_server_handled_total", "Calls completed on the server, by status code.", [
    ...labelNames,
    "grpc_code",
  ]);
  const received = metrics.counter("grpc_server_msg_received_total", "Messages received by the server.", labelNames);
  const sent = metrics.counter("grpc_server_msg_sent_total", "Messages sent by the server.", labelNames);
  const handling = metrics.histogram(
    "grpc_server_handling_seconds",
    "Time from the start of a call to its status, in seconds.",
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    labelNames,
  );

  const interceptor: ServerInterceptor = (method, call) => {
    const labels = labelsOf(method);
    const start = performance.now();
    started.inc({ ...labels });
    let done = false;
    const finish = (code: status, details?: string) => {
      if (done) return;
      done = true;
      const seconds = (performance.now() - start) / 1000;
      handled.inc({ ...labels, grpc_code: codeName(code) });
      handling.observe({ ...labels }, seconds);
      logger.debug("call", {
        method: method.path,
        code: codeName(code),
        seconds,
        peer: call.getPeer(),
        ...(details && { details }),
      });
    };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMessage((message, next) => {
        received.inc({ ...labels });
        next(message);
      })
      // grpc-js ends late and broken calls without calling the responder below.
      .withOnCancel(() => {
        const deadline = call.getDeadline();
        finish(deadline !== Infinity && Date.now() >= Number(deadline) ? status.DEADLINE_EXCEEDED : status.CANCELLED);
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendMessage((message, next) => {
        sent.inc({ ...labels });
        next(message);
      })
      .withSendStatus((result, next) => {
        finish(result.code, result.details);
        next(result);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };

  return {
    preregister(method) {
      const labels = labelsOf(method);
      for (const counter of [started, received, sent]) counter.inc({ ...labels }, 0);
      for (const grpc_code of allCodes) handled.inc({ ...labels, grpc_code }, 0);
      handling.zero({ ...labels });
    },
    interceptor,
  };
}

/** Exports when the first certificate of a chain (PEM) expires. The server uses this chain until the process ends. */
export function certificateExpiry(metrics: Metrics, chain: Buffer): void {
  const certificates = chain.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  const ends = (certificates ?? []).map((pem) => Date.parse(new X509Certificate(pem).validTo) / 1000);
  const gauge = metrics.gauge(
    "nas_tls_certificate_expiry_timestamp_seconds",
    "When the certificate of the gRPC server, or one of its chain, expires, Unix time.",
  );
  gauge.set(Math.min(...ends));
}
