import { SpanKind, type Span } from "@opentelemetry/api";
import { inSearchSpan } from "../process/tracing/searchTrace";
import type { Delivery } from "./pull";

/** Runs in the span of a message's publication, the parent of its receivers' spans. */
export function sending<T>(searchId: string, what: string, run: () => Promise<T>): Promise<T> {
  const attributes = { "messaging.system": "nats", "messaging.operation.type": "send" };
  return inSearchSpan(searchId, { name: `publish ${what}`, kind: SpanKind.PRODUCER, attributes }, run);
}

/** Runs in the span of a message's handling up to its acknowledgement, a child of the span of its publication. */
export function handling<T>(
  searchId: string,
  name: string,
  durable: string,
  { subject, deliveries, header }: Delivery,
  run: (span: Span) => Promise<T>,
): Promise<T> {
  const attributes = {
    "messaging.system": "nats",
    "messaging.operation.type": "process",
    "messaging.destination.name": subject,
    "messaging.consumer.group.name": durable,
    "lathe.deliveries": deliveries,
  };
  return inSearchSpan(searchId, { name, kind: SpanKind.CONSUMER, attributes, sent: header }, run);
}
