import type {
  Msg,
  NatsConnection,
  Payload,
  PublishOptions,
  RequestOptions,
  Subscription,
  SubscriptionOptions,
} from "nats";

/**
 * The names of one installation on the server. With the prefix "a", EVENTS is the stream a_EVENTS, KV_SEARCHES is KV_a_SEARCHES (so the
 * `nats` tool finds the bucket a_SEARCHES), lathe.work.train is a.lathe.work.train, and inboxes begin with _INBOX_a_. A durable needs no
 * prefix, because it belongs to its stream. Every name without a meaning of its own, such as an inbox, stays as it is.
 */
export class Names {
  constructor(readonly prefix: string) {}

  stream(name: string): string {
    return this.prefix === "" ? name : name.replace(/^(KV_|OBJ_)?/, `$1${this.prefix}_`);
  }

  subject(subject: string): string {
    if (this.prefix === "") return subject;
    if (subject.startsWith("lathe.")) return `${this.prefix}.${subject}`;
    if (BUCKET.test(subject)) return subject.replace(BUCKET, `$1${this.prefix}_$2`);
    return subject.replace(API, (_all, verb: string, stream: string) => verb + this.stream(stream));
  }

  /** The prefix of the inboxes of a service, so that permissions can keep others from reading its replies. */
  inbox(service: string): string {
    const own = service.replace(/[^A-Za-z0-9_-]/g, "-");
    return this.prefix === "" ? `_INBOX_${own}` : `_INBOX_${this.prefix}_${own}`;
  }

  /** The inverse of `stream`. */
  streamOf(name: string): string {
    const [, kind = "", rest = ""] = /^(KV_|OBJ_)?(.*)$/.exec(name) ?? [];
    return rest.startsWith(`${this.prefix}_`) ? kind + rest.slice(this.prefix.length + 1) : name;
  }

  /** The inverse of `subject` for the subject of a message. */
  subjectOf(subject: string): string {
    if (subject.startsWith(`${this.prefix}.lathe.`)) return subject.slice(this.prefix.length + 1);
    return subject.replace(BUCKET, (all, store: string, bucket: string) =>
      bucket.startsWith(`${this.prefix}_`) ? store + bucket.slice(this.prefix.length + 1) : all,
    );
  }
}

const BUCKET = /^(\$(?:KV|O)\.)([^.]+)/;
/** The requests of the JetStream API whose subject names a stream. */
const API = /^(\$JS\.API\.(?:STREAM|CONSUMER|DIRECT)\.(?:MSG\.|DURABLE\.)?[A-Z]+\.)([^.]+)/;

/**
 * The connection as the rest of the code sees it: without the prefix. This is the only place that adds it and takes it off. Subscriptions
 * must have a callback.
 */
export function withNames(connection: NatsConnection, names: Names): NatsConnection {
  if (names.prefix === "") return connection;
  const inbound = (message: Msg): Msg =>
    Object.create(message, { subject: { value: names.subjectOf(message.subject) } }) as Msg;
  const own = {
    publish: (subject: string, payload?: Payload, options?: PublishOptions) =>
      connection.publish(names.subject(subject), payload, options),
    subscribe: (subject: string, { callback, ...options }: SubscriptionOptions = {}): Subscription =>
      connection.subscribe(names.subject(subject), {
        ...options,
        callback: (error, message) => callback?.(error, error ? message : inbound(message)),
      }),
    request: async (subject: string, payload?: Payload, options?: RequestOptions): Promise<Msg> => {
      // A direct read is answered by the stored message itself.
      if (!subject.startsWith("$JS.API.") || subject.startsWith("$JS.API.DIRECT."))
        return connection.request(names.subject(subject), payload, options);
      const aboutStreams = subject.startsWith("$JS.API.STREAM.");
      const body = payload === undefined || payload.length === 0 ? payload : outbound(payload, names, aboutStreams);
      const answer = await connection.request(names.subject(subject), body, options);
      const json = translate(answer.string(), aboutStreams, {
        stream: (name) => names.streamOf(name),
        subject: (name) => names.subjectOf(name),
      });
      const data = Buffer.from(json);
      return Object.create(answer, {
        data: { value: data },
        string: { value: () => json },
        json: { value: () => JSON.parse(json) as unknown },
      }) as Msg;
    },
  };
  return Object.create(
    connection,
    Object.fromEntries(Object.entries(own).map(([name, value]) => [name, { value }])),
  ) as NatsConnection;
}

const outbound = (payload: Payload, names: Names, aboutStreams: boolean) =>
  translate(typeof payload === "string" ? payload : Buffer.from(payload).toString(), aboutStreams, {
    stream: (name) => names.stream(name),
    subject: (name) => names.subject(name),
  });

/** Replaces the names in a request or answer of the JetStream API. In one about consumers, "name" is a consumer's. */
function translate(
  json: string,
  aboutStreams: boolean,
  to: { stream: (name: string) => string; subject: (name: string) => string },
): string {
  const changed = (key: string, value: unknown): unknown => {
    if (key === "subjects" && Array.isArray(value)) return value.map((name: string) => to.subject(name));
    // In the state of a stream: subject -> count.
    if (key === "subjects" && typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([name, count]) => [to.subject(name), count as unknown]));
    if (key === "streams" && Array.isArray(value))
      return value.map((entry: unknown) => (typeof entry === "string" ? to.stream(entry) : entry));
    if (typeof value !== "string") return value;
    if (SUBJECT_FIELDS.has(key)) return to.subject(value);
    return key === "stream_name" || (key === "name" && aboutStreams) ? to.stream(value) : value;
  };
  return JSON.stringify(JSON.parse(json, changed));
}

const SUBJECT_FIELDS = new Set([
  "subject",
  "subjects_filter",
  "filter",
  "filter_subject",
  "last_by_subj",
  "next_by_subj",
]);
