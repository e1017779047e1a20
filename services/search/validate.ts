import { isToken } from "../../shared/events/subjects";
import { LatheError, type FieldViolation } from "../../shared/process/errors";
import type { StartSearchRequest } from "../../shared/proto/lathe/v1/search";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { refusal } from "../../shared/space/validate";
import { clip } from "../../shared/spec/bounds";
import { resolve, type ResolvedSpec } from "../../shared/spec/resolve";

/** A spec and request id that may be stored; INVALID_ARGUMENT names every fault of both. */
export function validateStart(request: StartSearchRequest): {
  spec: ResolvedSpec;
  space: SearchSpace;
  requestId: string;
} {
  const { spec, requestId } = request;
  const violations: FieldViolation[] = [];
  if (!/^[a-zA-Z0-9_-]{0,64}$/.test(requestId))
    violations.push({
      field: "request_id",
      description: `is "${clip(requestId)}", must be at most 64 of a-z, A-Z, 0-9, _ and -`,
    });
  let resolved: ReturnType<typeof resolve> | undefined;
  if (spec === undefined) violations.push({ field: "spec", description: "is not set, must be given" });
  else {
    try {
      resolved = resolve(spec, { isNew: true });
    } catch (error) {
      if (!(error instanceof LatheError) || violations.length === 0) throw error;
      violations.push(...error.violations);
    }
  }
  if (resolved === undefined || violations.length > 0) throw refusal("INVALID_SPEC", "request", violations);
  return { ...resolved, requestId };
}

/** The fault of the id of a search; undefined where it may be looked up. */
export function searchIdFault(id: string): string | undefined {
  if (id === "") return "is not set, must be given";
  return isToken(id) ? undefined : `is "${clip(id)}", must be 1 to 64 of a-z, 0-9 and -, and not begin with -`;
}

/** A search id that may be looked up. */
export function validateSearchId(id: string): string {
  const description = searchIdFault(id);
  if (description !== undefined) throw refusal("INVALID_SEARCH_ID", "request", [{ field: "search_id", description }]);
  return id;
}
