import { knownLoss } from "./serverFaults";

it.each([
  ["2.9.10", true],
  ["2.9.11", true],
  ["2.8.4", true],
  ["1.4.1", true],
  ["2.9.12", false],
  ["2.9.25", false],
  ["2.10.0-preview.1", false],
  ["2.12.0", false],
  ["3.0.0", false],
  ["unknown", false],
])("nats-server %s loses messages: %s", (version, loses) => {
  expect(knownLoss(version) !== undefined).toBe(loses);
  if (loses) expect(knownLoss(version)).toContain(`nats-server ${version}`);
});
