// Asks JetStream for the stream of events, by the settings and with the permissions of the search service; exits with 1 unless it is there.
const { readFileSync } = require("node:fs");
const { connect, credsAuthenticator } = require("nats");

const WAIT_MS = 30_000;
const {
  LATHE_NATS_URL: url,
  LATHE_NATS_PREFIX: prefix,
  LATHE_NATS_CREDS: creds,
  LATHE_NATS_TLS_CA_FILE: caFile,
  LATHE_NATS_TLS_CERT_FILE: certFile,
  LATHE_NATS_TLS_KEY_FILE: keyFile,
} = process.env;
const stream = prefix ? `${prefix}_EVENTS` : "EVENTS";

async function main() {
  const connection = await connect({
    servers: url.split(","),
    name: "helm test",
    timeout: WAIT_MS,
    ...(creds && { authenticator: credsAuthenticator(readFileSync(creds)) }),
    ...(caFile && { tls: { caFile, certFile, keyFile } }),
  });
  try {
    const asked = performance.now();
    const answer = await connection.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: WAIT_MS });
    const { error, state } = answer.json();
    if (error) throw new Error(`stream ${stream}: ${error.description}`);
    console.log(`stream ${stream}: ${state.messages} messages; round trip ${(performance.now() - asked).toFixed(1)} ms`);
  } finally {
    await connection.close();
  }
}

main().catch((error) => {
  console.error(`NATS at ${url}: ${error.message}`);
  process.exitCode = 1;
});
