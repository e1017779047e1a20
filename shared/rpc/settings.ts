import type { BaseConfig } from "../process/config";
import type { ServerOptions } from "./server";

type Config = Pick<
  BaseConfig,
  | "LATHE_GRPC_HOST"
  | "LATHE_GRPC_PORT"
  | "LATHE_GRPC_INSECURE"
  | "LATHE_TLS_CERT_FILE"
  | "LATHE_TLS_KEY_FILE"
  | "LATHE_TLS_CA_FILE"
  | "LATHE_AUTH_TOKEN_FILE"
>;

/** The part of `startServer`'s options that the configuration of a process decides. */
export function serverSettings(config: Config): Pick<ServerOptions, "host" | "port" | "insecure" | "tls" | "tokens"> {
  const { LATHE_TLS_CERT_FILE: cert, LATHE_TLS_KEY_FILE: key, LATHE_TLS_CA_FILE: ca } = config;
  return {
    host: config.LATHE_GRPC_HOST,
    port: config.LATHE_GRPC_PORT,
    insecure: config.LATHE_GRPC_INSECURE,
    tokens: config.LATHE_AUTH_TOKEN_FILE,
    tls: cert && key && { cert: cert.content, key: key.content, ...(ca && { ca: ca.content }) },
  };
}
