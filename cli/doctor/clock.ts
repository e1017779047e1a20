import { fault, ok, type Finding } from "./finding";

/** More than a slow answer makes. */
const SKEW_MS = 1_000;

/** A clock that is off makes leases, ages of alerts and the order of logs wrong. */
export function judgeClock(about: string, skewMs: number): Finding {
  const found = `its clock is ${Math.abs(skewMs / 1000).toFixed(1)} s ${skewMs > 0 ? "ahead" : "behind"}`;
  return Math.abs(skewMs) <= SKEW_MS
    ? ok(about, "its clock agrees with this one")
    : fault(about, found, "let its machine and this one follow the same time (NTP, chrony)");
}
