import { TrainingProgressed } from "../../shared/proto/lathe/v1/events";
import { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { openDisplay, plainDisplay } from "./terminal";

const progressed = (fields: Partial<TrainingProgressed>): WatchSearchResponse => ({
  ...WatchSearchResponse.fromPartial({}),
  event: { $case: "trainingProgressed", value: TrainingProgressed.fromPartial(fields) },
});
const step = (at: number) => progressed({ phase: "train", epoch: 2, epochs: 40, step: at, steps: 250, loss: 1.25 });

/** A display of a log, at a time that the test sets. */
function log() {
  const lines: string[] = [];
  const clock = { ms: 0 };
  const screen = { write: (text: string) => lines.push(text) };
  return { lines, clock, display: plainDisplay("s-abc", screen, () => clock.ms) };
}

it("a search with a label writes lines that begin with it, on a terminal too", () => {
  const lines: string[] = [];
  const display = openDisplay("s-abc", { isTTY: true, write: (text) => lines.push(text) }, { label: "s1" });
  display.say("stopping");
  display.close();
  expect(lines).toEqual(["s1: stopping\n"]);
});

describe("a log of a search", () => {
  it("has a line of progress after 30 seconds without a line, and not before", () => {
    const { lines, clock, display } = log();
    display.event(step(1));
    clock.ms = 29_999;
    display.event(step(2));
    expect(lines).toEqual([]);
    clock.ms = 30_000;
    display.event(step(3));
    clock.ms = 59_999;
    display.event(step(4));
    expect(lines).toEqual(["search epoch 2/40: step 3 of 250, loss 1.250\n"]);
    display.say("stopping");
    clock.ms = 89_000;
    display.event(step(5));
    expect(lines).toHaveLength(2);
    clock.ms = 90_000;
    display.event(step(6));
    expect(lines.at(-1)).toBe("search epoch 2/40: step 6 of 250, loss 1.250\n");
  });

  it.each<[Partial<TrainingProgressed>, string | undefined]>([
    [{ phase: "profile", step: 3, steps: 80 }, "operators: measurement 3 of 80"],
    [{ phase: "derive", step: 7, steps: 24 }, "repair: network 7 of 24"],
    [
      { phase: "retrain", epoch: 1, epochs: 9, step: 2, steps: 5, loss: 0.5 },
      "retraining epoch 1/9: step 2 of 5, loss 0.500",
    ],
    [{ phase: "another" }, undefined],
  ])("says what progresses: %p", (fields, line) => {
    const { lines, clock, display } = log();
    clock.ms = 60_000;
    display.event(progressed(fields));
    expect(lines).toEqual(line === undefined ? [] : [`${line}\n`]);
  });
});
