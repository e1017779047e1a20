// HEALTHCHECK of the images: exits with 0 if the service of the container is ready.
const { LATHE_HTTP_PORT: port = "9464" } = process.env;
const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
  ({ ok }) => ok,
  () => false,
);
process.exit(ready ? 0 : 1);
