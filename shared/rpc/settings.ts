import type { BaseConfig } from "../process/config";

/** Largest message in either direction, in bytes. Files travel in far smaller chunks. */
export const maxMessageBytes = 16 * 1024 * 1024;

/** Whether a host or address can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

export interface ServerTls {
  /** PEM. */
  cert: Buffer;
  key: Buffer;
  /** PEM. With it every client must present a certificate that this authority signed (mTLS). */
  ca?: Buffer;
}

/** The part of `startServer`'s options that the configuration of a process decides. */
export interface ServerSettings {
  host: string;
  /** 0 for a free one. */
  port: number;
  tls?: ServerTls | undefined;
  /** Bearer tokens; with them every call but health and reflection needs one. */
  tokens?: readonly string[] | undefined;
  /** Allows another host than loopback without TLS, e.g. behind a mesh that encrypts. */
  insecure?: boolean;
}

export function serverSettings(config: BaseConfig): ServerSettings {
  const { LATHE_TLS_CERT_FILE: cert, LATHE_TLS_KEY_FILE: key, LATHE_TLS_CA_FILE: ca } = config;
  return {
    host: config.LATHE_GRPC_HOST,
    port: config.LATHE_GRPC_PORT,
    insecure: config.LATHE_GRPC_INSECURE,
    tokens: config.LATHE_AUTH_TOKEN_FILE,
    tls: cert && key && { cert: cert.content, key: key.content, ...(ca && { ca: ca.content }) },
  };
}
