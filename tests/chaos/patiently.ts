import { isUnavailable } from "../../shared/events/faults";
import { LatheError } from "../../shared/process/errors";
import { until } from "../../shared/testing/until";

/** Repeats a call while its service is away, for longer than a client does. */
export async function patiently<T extends object>(call: () => Promise<T>): Promise<T> {
  const answer = await until(() =>
    call().catch((thrown: unknown) => {
      if (isUnavailable(LatheError.from(thrown))) return undefined;
      throw thrown;
    }),
  );
  return answer!;
}
