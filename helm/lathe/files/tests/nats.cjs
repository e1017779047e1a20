// Sends a message to itself by NATS and asks JetStream for the stream of events, with the settings of the services; exits with 1 if either fails.
const { readFileSync } = require("node:fs");
const { connect, createInbox, credsAuthenticator } = require("nats");

const WAIT_MS = 30_000;
const {
  LATHE_NATS_URL: url,
  LATHE_NATS_CREDS: creds,
  LATHE_NATS_TLS_CA_FILE: caFile,
  LATHE_NATS_TLS_CERT_FILE: certFile,
  LATHE_NATS_TLS_KEY_FILE: keyFile,
} = process.env;

async function main() {
  const connection = await connect({
    servers: url.split(","),
    name: "helm test",
    timeout: WAIT_MS,
    ...(creds && { authenticator: credsAuthenticator(readFileSync(creds)) }),
    ...(caFile && { tls: { caFile, certFile, keyFile } }),
  });
  try {
    const inbox = createInbox();
    const subscription = connection.subscribe(inbox, { max: 1, timeout: WAIT_MS });
    const sent = performance.now();
    connection.publish(inbox, "round trip");
    for await (const message of subscription) console.log(`${message.string()}: ${(performance.now() - sent).toFixed(1)} ms`);
    const { error, state } = (await connection.request("$JS.API.STREAM.INFO.EVENTS", "", { timeout: WAIT_MS })).json();
    if (error) throw new Error(`stream EVENTS: ${error.description}`);
    console.log(`stream EVENTS: ${state.messages} messages`);
  } finally {
    await connection.close();
  }
}

main().catch((error) => {
  console.error(`NATS at ${url}: ${error.message}`);
  process.exitCode = 1;
});
