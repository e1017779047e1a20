/** The command as the user typed it, for lines that are to be copied: `npm run lathe --` in a clone of the repository, else `lathe`. */
export const invocation = (): string => (process.env.npm_lifecycle_event === "lathe" ? "npm run lathe --" : "lathe");
