import { isToken } from "../events/subjects";
import { machineName } from "./machine";

it("names the machine by its boot, and where that cannot be known by its host", () => {
  const boot = "7c9a4d0e-52f0-4a3f-9b0f-6d6cf7b2f0aa";
  expect(machineName(() => `${boot}\n`)).toBe(boot);
  const missing = () => {
    throw new Error("ENOENT");
  };
  for (const name of [machineName(missing), machineName(() => "not a number"), machineName()])
    expect(isToken(name)).toBe(true);
});
