import { ShrinkingServiceService } from "../../shared/proto/lathe/v1/shrinking";
import { refusal } from "../../shared/space/validate";
import { service, type Service } from "../../shared/rpc/handlers";
import { completePolicy, decide } from "./decide";
import { simulate } from "./simulate";

/** ShrinkingService: the decisions of the search, asked for directly. */
export function shrinkingService(): Service {
  return service(ShrinkingServiceService, {
    decide: ({ space, architecture, policy, epoch, epochs }) =>
      decide({
        space: required("space", space),
        architecture: required("architecture", architecture),
        policy: completePolicy(policy),
        epoch,
        epochs,
      }),
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
