import { invocation } from "./invocation";

it("names the command as the user typed it", () => {
  const { npm_lifecycle_event: before } = process.env;
  const under = (event?: string) => {
    if (event === undefined) delete process.env.npm_lifecycle_event;
    else process.env.npm_lifecycle_event = event;
    return invocation();
  };
  try {
    expect([under("lathe"), under("test"), under()]).toEqual(["npm run lathe --", "lathe", "lathe"]);
  } finally {
    under(before);
  }
});
