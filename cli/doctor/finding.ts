/** The result of a check. With a warning the deployment works, with a fault it does not. */
export interface Finding {
  level: "ok" | "warning" | "fault";
  /** The subject: "nats", "streams", a service, ... */
  about: string;
  found: string;
  /** Advice; empty if level is ok. */
  mend: string;
}

export const ok = (about: string, found: string): Finding => ({ level: "ok", about, found, mend: "" });
const troubled = (level: Finding["level"]) => (about: string, found: string, mend: string) =>
  ({ level, about, found, mend }) as const;
export const warning = troubled("warning");
export const fault = troubled("fault");

/** The findings as lines, each with its advice below. */
export function findingLines(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ about }) => about.length));
  const words = { ok: "ok     ", warning: "warning", fault: "FAULT  " };
  return findings.flatMap(({ level, about, found, mend }) => [
    `${words[level]}  ${about.padEnd(width)}  ${found}`,
    ...(mend === "" ? [] : [`${" ".repeat(11 + width)}mend: ${mend}`]),
  ]);
}

/** Allowed clock difference in milliseconds, more than a slow answer can cause. */
const SKEW_MS = 1_000;

/** Judges a clock difference. A wrong clock breaks leases, the ages of alerts and the order of log lines. */
export function judgeClock(about: string, skewMs: number): Finding {
  const found = `its clock is ${Math.abs(skewMs / 1000).toFixed(1)} s ${skewMs > 0 ? "ahead" : "behind"}`;
  return Math.abs(skewMs) <= SKEW_MS
    ? ok(about, "its clock agrees with this one")
    : fault(about, found, "synchronize its machine and this one with the same time source (NTP, chrony)");
}
