import { LatheError } from "../../shared/process/errors";
import { watchDisk } from "./disk";

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const full = {
  code: "RESOURCE_EXHAUSTED",
  reason: "DISK_FULL",
  message: "the disk of /a has 255 MB left, the stack needs 256 MB: free some space or choose another folder",
};

it("a nearly full disk is rejected at once", () => {
  expect(() => watchDisk("/a", () => {}, { freeBytes: () => 255.9e6 })).toThrow(expect.objectContaining(full) as Error);
});

it("a disk that fills up is reported once", () => {
  let free = 256e6;
  const told: LatheError[] = [];
  watchDisk("/a", (error) => told.push(error), { freeBytes: () => free });
  jest.advanceTimersByTime(3000);
  expect(told).toEqual([]);
  free = 255e6;
  jest.advanceTimersByTime(3000);
  expect(told).toEqual([expect.objectContaining(full)]);
});

it("an ended watch reports nothing, and a real disk can be measured", () => {
  let free = 1e9;
  const told: LatheError[] = [];
  const end = watchDisk("/a", (error) => told.push(error), { freeBytes: () => free });
  end();
  free = 0;
  jest.advanceTimersByTime(3000);
  expect(told).toEqual([]);
  watchDisk(__dirname, () => {})();
});
