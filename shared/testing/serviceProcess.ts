import { boot } from "../process/boot";
import { baseSchema, text } from "../process/config";

const schema = baseSchema.extend({ LATHE_TEST_DO: text().default("run") });

/** A service without methods, for tests of the start, failure and stop of its process. */
void boot("test", schema, ({ config, logger, shutdown, ready }) => {
  const forever = setInterval(() => {}, 1000);
  shutdown.step("first", () => {
    logger.info("closing first");
    clearInterval(forever);
  });
  if (config.LATHE_TEST_DO === "fail to start") throw new Error("nats is down");
  shutdown.step("second", () => {
    logger.info("closing second");
    return config.LATHE_TEST_DO === "hang at stop" ? new Promise(() => {}) : undefined;
  });
  ready({ grpcPort: 1, httpPort: 2 });
  if (config.LATHE_TEST_DO === "throw later") {
    setTimeout(() => {
      throw new Error("thrown later");
    }, 10);
  }
  if (config.LATHE_TEST_DO === "reject later") void Promise.reject(new Error("rejected later"));
  return Promise.resolve();
});
