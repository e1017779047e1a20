import { Lease, type Delivery } from "./pull";

const HOUR_MS = 3_600_000;
const ACK_WAIT_MS = 60_000;

/** A lease whose renewals the server confirms or not. */
function leaseThat(isConfirmed: boolean): Lease {
  const delivery = { where: "work#1", working: () => Promise.resolve(isConfirmed) };
  return new Lease(delivery as unknown as Delivery, ACK_WAIT_MS, () => {});
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe.each([
  ["ahead", HOUR_MS],
  ["back", -HOUR_MS],
])("a clock that jumps an hour %s", (_, byMs) => {
  it("does not end a lease whose renewals are confirmed", async () => {
    const lease = leaseThat(true);
    jest.setSystemTime(Date.now() + byMs);
    await jest.advanceTimersByTimeAsync(3 * ACK_WAIT_MS);
    expect(lease.lost.aborted).toBe(false);
    lease.end();
  });

  it("does not prolong a lease whose renewals are not confirmed", async () => {
    const lease = leaseThat(false);
    jest.setSystemTime(Date.now() + byMs);
    await jest.advanceTimersByTimeAsync(ACK_WAIT_MS - 1);
    expect(lease.lost.aborted).toBe(false);
    await jest.advanceTimersByTimeAsync(ACK_WAIT_MS);
    expect(lease.lost.aborted).toBe(true);
  });
});
