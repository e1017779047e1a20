import { gpuRuntime } from "./machine";

it("says with which libraries, driver and clock a GPU was measured, as far as they are known", () => {
  const answer = () => ["580.65.06", "1755 MHz", "1980 MHz"];
  expect(gpuRuntime("CUDA 13.0, cuDNN 9.24.0", answer).join(", ")).toBe(
    "CUDA 13.0, cuDNN 9.24.0, driver 580.65.06, SM clock 1755 MHz of 1980 MHz",
  );
  expect(gpuRuntime("", () => undefined)).toEqual(["CUDA and cuDNN of unknown version"]);
});
