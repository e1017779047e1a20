import { X509Certificate } from "node:crypto";
import type { Metrics } from "../process/metrics";

/** Tells when the first certificate of a chain (PEM, as it is served until the process is started anew) expires. */
export function certificateExpiry(metrics: Metrics, chain: Buffer): void {
  const certificates = chain.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  const ends = (certificates ?? []).map((pem) => Date.parse(new X509Certificate(pem).validTo) / 1000);
  const gauge = metrics.gauge(
    "nas_tls_certificate_expiry_timestamp_seconds",
    "When the certificate of the gRPC server, or one of its chain, expires, Unix time.",
  );
  gauge.set(Math.min(...ends));
}
