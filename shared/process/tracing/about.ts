import { createContextKey, type Context } from "@opentelemetry/api";

const SEARCH = createContextKey("lathe search id");

/** The search that the running code is about. */
export const searchOf = (active: Context): string | undefined => active.getValue(SEARCH) as string | undefined;

/** A context in which log lines name the search. */
export const aboutSearch = (active: Context, searchId: string): Context => active.setValue(SEARCH, searchId);
