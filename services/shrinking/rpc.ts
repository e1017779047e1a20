import { setImmediate } from "node:timers/promises";
import { ShrinkingServiceService } from "../../shared/proto/lathe/v1/shrinking";
import { refusal } from "../../shared/space/validate";
import { service, type Service } from "../../shared/rpc/handlers";
import { completePolicy, decideNext, validateInput } from "../../shared/spec/shrinking";
import { simulate } from "./simulate";

/** ShrinkingService: the decisions of the search, asked for directly. */
export function shrinkingService(): Service {
  return service(ShrinkingServiceService, {
    decide: async ({ space, architecture, policy, epoch, epochs }) => {
      const input = {
        ...{ space: required("space", space), architecture: required("architecture", architecture) },
        ...{ policy: completePolicy(policy), epoch, epochs },
      };
      validateInput(input);
      // Other calls have their turn between the two halves of the work on a large architecture.
      await setImmediate();
      return decideNext(input);
    },
    *simulateSchedule({ space, policy, epochs }) {
      for (const decision of simulate(required("space", space), completePolicy(policy), epochs))
        yield { decisions: [decision] };
    },
  });
}

function required<T>(field: string, value: T | undefined): T {
  if (value !== undefined) return value;
  throw refusal("FIELD_MISSING", "request", [{ field, description: "is not set, must be given" }]);
}
