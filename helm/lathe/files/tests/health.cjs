// Asks each service named in the arguments (host:port) for its health over gRPC; exits with 1 unless all serve.
const { existsSync, readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { credentials, loadPackageDefinition } = require("@grpc/grpc-js");
const { loadSync } = require("@grpc/proto-loader");

const WAIT_MS = 30_000;
const addresses = process.argv.slice(1);
const { LATHE_TLS_CERT_FILE: cert, LATHE_TLS_KEY_FILE: key, LATHE_TLS_CA_FILE: clientCa } = process.env;
const { Health } = loadPackageDefinition(loadSync("grpc/health/v1/health.proto", { includeDirs: ["proto"], enums: String }))
  .grpc.health.v1;

// The pod has the certificate of the services; where they ask for one of a client, it shows the same.
function channel() {
  if (!cert) return credentials.createInsecure();
  const ca = join(dirname(cert), "ca.crt");
  const own = clientCa ? [readFileSync(key), readFileSync(cert)] : [null, null];
  return credentials.createSsl(existsSync(ca) ? readFileSync(ca) : null, ...own);
}

function ask(address) {
  return new Promise((resolve) => {
    const client = new Health(address, channel());
    const deadline = Date.now() + WAIT_MS;
    client.check({ service: "" }, { deadline, waitForReady: true }, (error, answer) => {
      client.close();
      resolve(error ? error.message : answer.status);
    });
  });
}

Promise.all(addresses.map(ask)).then((states) => {
  states.forEach((state, at) => console.log(`${addresses[at]} ${state}`));
  process.exitCode = states.length > 0 && states.every((state) => state === "SERVING") ? 0 : 1;
});
