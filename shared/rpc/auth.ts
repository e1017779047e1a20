import { createHash, timingSafeEqual } from "node:crypto";
import {
  Metadata,
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type ServerInterceptor,
} from "@grpc/grpc-js";

/** Services that probes and tools call without a token. */
const open = /^\/grpc\.(health|reflection)\./;

const digest = (token: string): Buffer => createHash("sha256").update(token).digest();

/** Refuses with UNAUTHENTICATED each call without `authorization: Bearer <one of tokens>`; health and reflection stay open. */
export function bearerTokens(tokens: readonly string[]): ServerInterceptor {
  const known = tokens.map(digest);
  // Digests have equal lengths and all are compared, so the time reveals nothing about a token.
  const accepts = (token: string): boolean => {
    const given = digest(token);
    return known.reduce((accepted, one) => timingSafeEqual(one, given) || accepted, false);
  };
  const fault = (metadata: Metadata): string | undefined => {
    const header = metadata.get("authorization").map(String)[0];
    if (header === undefined) return "no bearer token: send the metadata entry `authorization: Bearer <token>`";
    const token = /^bearer +(\S+)$/i.exec(header)?.[1];
    if (token === undefined) return "the metadata entry `authorization` is not of the form `Bearer <token>`";
    return accepts(token) ? undefined : "the bearer token is not known to this server";
  };
  return (method, call) => {
    if (open.test(method.path)) return new ServerInterceptingCall(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const details = fault(metadata);
        if (details === undefined) next(metadata);
        else call.sendStatus({ code: status.UNAUTHENTICATED, details, metadata: new Metadata() });
      })
      .build();
    return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build());
  };
}
