import { DecidedBy, HealthAlarmKind, RemovalReason } from "../../shared/proto/lathe/v1/result";
import { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { CostMetric, Dimension } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../../shared/space/genotype";
import { dimensionMetrics, initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { presetSpec } from "../../shared/spec/presets";
import { resolve } from "../../shared/spec/resolve";
import { eventLine } from "./eventLine";
import { duration, quantity } from "./format";
import { observe } from "./observe";
import { render } from "./render";
import { initialView, secondsLeft, type SearchView } from "./searchView";

type Event = Parameters<typeof WatchSearchResponse.fromPartial>[0]["event"];

const { spec, space } = resolve(presetSpec("tiny"));
const start = initialArchitecture(space);
const time = new Date("2030-01-01T00:00:00Z");
const respond = (event: Event, sequence = 1) => WatchSearchResponse.fromPartial({ sequence, time, event });
const created = respond({ $case: "searchCreated", value: { spec, space, specSha256: "" } });

const epochDone = (epoch: number, seconds: number) =>
  respond({
    $case: "epochCompleted",
    value: {
      metrics: {
        epoch,
        epochs: 16,
        seconds,
        weightLoss: 1.25,
        validationMiou: 0.3125,
        expectedCostRatio: 0.7,
        ssrFactor: 4.75,
        log10Space: 20,
        dimensions: dimensionMetrics(space, start),
      },
    },
  });

const shrunk = respond({
  $case: "spaceShrunk",
  value: {
    epoch: 2,
    candidatesLeft: 171,
    log10Space: 19,
    architecture: {
      groups: start.groups.map((one, index) => (index === 0 ? { ...one, alphas: [0], survivors: [1] } : one)),
    },
    removals: [
      {
        group: "stage1/depth",
        dimension: Dimension.DIMENSION_DEPTH,
        value: "1",
        probability: 0.05,
        maxProbability: 0.95,
        reason: RemovalReason.REMOVAL_REASON_THRESHOLD,
      },
    ],
  },
});
const progressed = (epoch: number, step: number) =>
  respond({ $case: "trainingProgressed", value: { phase: "train", epoch, epochs: 16, step, steps: 10, loss: 1 } }, 0);

const after = (...responses: WatchSearchResponse[]): SearchView =>
  responses.reduce(observe, initialView("s-abcdefghijkl"));
const screen = { columns: 100, rows: 40, now: time.getTime() + 65_000 };
const text = (view: SearchView, frame = screen) => render(view, frame).join("\n");

it("a search that waits for a worker says for which, until it comes", () => {
  const told = (available: boolean, message: string) =>
    respond({ $case: "deviceAvailabilityChanged", value: { number: 1, deviceClass: "rack-4", available, message } });
  const lines = (view: SearchView) => render(view, { columns: 120, rows: 40, now: time.getTime() });
  const waits = [created, told(false, "waits for rack-4")].reduce(observe, initialView("s-1"));
  expect(lines(waits)).toContain("  waiting        waits for rack-4");
  expect(eventLine(told(false, "waits for rack-4"), waits)).toBe("waits for rack-4");
  expect(lines(observe(waits, told(true, "it is alive"))).join()).not.toContain("waiting  ");
});

describe("the view of a search", () => {
  it("begins with the space of the first event", () => {
    const view = after(created);
    expect(view.log10Start).toBe(log10Size(space));
    expect(view.candidates.map(({ now, start }) => [now, start])).toEqual(
      dimensionMetrics(space, start).map(({ candidates }) => [candidates, candidates]),
    );
    expect(view.phases.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "search running",
      "derive waiting",
      "retrain waiting",
      "profile waiting",
    ]);
  });

  it("has a phase for operators only with a latency cost, and none for skipped retraining", () => {
    const latency = { ...spec, cost: { ...spec.cost, metric: CostMetric.COST_METRIC_LATENCY } };
    const without = { ...latency, retraining: { ...spec.retraining, epochs: 0 } };
    const view = after(respond({ $case: "searchCreated", value: { spec: without, space, specSha256: "" } }));
    expect(view.phases.map(({ name }) => name)).toEqual(["operators", "search", "derive", "profile"]);
  });

  it("counts the measurements of operators while they run", () => {
    const latency = { ...spec, cost: { ...spec.cost, metric: CostMetric.COST_METRIC_LATENCY } };
    const begun = respond({ $case: "searchCreated", value: { spec: latency, space, specSha256: "" } });
    const measured = respond({ $case: "trainingProgressed", value: { phase: "profile", step: 120, steps: 400 } }, 0);
    const view = after(begun, measured);
    expect(text(view)).toMatch(/\[>] measure operators +\[#+\.+] 120\/400 measured/);
    expect(text(view)).not.toMatch(/loss/);
    const done = after(begun, measured, respond({ $case: "operatorsProfiled", value: {} }));
    expect(text(done)).not.toContain("120/400");
    // A message of a measurement that has ended changes nothing.
    expect(observe(done, measured)).toEqual(done);
  });

  it("counts the networks that a repair compares, until it has ended", () => {
    const begun = respond({ $case: "searchCreated", value: { spec, space, specSha256: "" } });
    const converged = respond({ $case: "supernetConverged", value: {} });
    const compared = respond({ $case: "trainingProgressed", value: { phase: "derive", step: 3, steps: 24 } }, 0);
    const view = after(begun, converged, compared);
    expect(text(view)).toMatch(/\[>] derive network +\[#+\.+] 3\/24 networks compared/);
    expect(text(view)).not.toMatch(/loss/);
    const repaired = respond({ $case: "architectureRepaired", value: { number: 1 } });
    expect(text(after(begun, converged, compared, repaired))).not.toContain("networks compared");
    expect(text(after(begun, compared))).not.toContain("networks compared");
  });

  it("counts the survivors after a shrink", () => {
    const [depth] = after(created, epochDone(2, 1), shrunk).candidates;
    expect(depth).toEqual({ dimension: Dimension.DIMENSION_DEPTH, now: 3, start: 4, undecided: 1 });
  });

  it("moves from phase to phase and ends with all of them done", () => {
    const converged = respond({ $case: "supernetConverged", value: { decidedBy: DecidedBy.DECIDED_BY_SHRINKING } });
    const derived = respond({ $case: "architectureDerived", value: { supernetMiou: 0.4, discreteMiou: 0.39 } });
    const statuses = (view: SearchView) => view.phases.map(({ status }) => status);
    expect(statuses(after(created, converged))).toEqual(["done", "running", "waiting", "waiting"]);
    expect(statuses(after(created, converged, derived))).toEqual(["done", "done", "running", "waiting"]);
    const failed = respond({ $case: "searchFailed", value: { message: "no train.txt", reason: "X", phase: "train" } });
    expect(statuses(after(created, failed))).toEqual(["failed", "waiting", "waiting", "waiting"]);
    const resumed = after(created, failed, respond({ $case: "searchResumed", value: { resumption: 1 } }));
    expect(statuses(resumed)).toEqual(["running", "waiting", "waiting", "waiting"]);
    expect(resumed.reason).toBeUndefined();
    expect(statuses(after(created, respond({ $case: "searchSucceeded", value: {} })))).toEqual(Array(4).fill("done"));
  });

  it("ignores a late report of an epoch that is over", () => {
    const [phase] = after(created, progressed(1, 5), epochDone(1, 6), progressed(1, 10)).phases;
    expect(phase).toMatchObject({ epoch: 1, step: 0 });
  });

  it("estimates the time left from the newest three epochs and the steps of this one", () => {
    const [before] = after(created).phases;
    expect(secondsLeft(before!)).toBeUndefined();
    const [phase] = after(
      created,
      ...[9, 4, 5, 6].map((seconds, at) => epochDone(at + 1, seconds)),
      progressed(5, 4),
    ).phases;
    // 11.6 epochs of (4 + 5 + 6) / 3 s.
    expect(secondsLeft(phase!)).toBeCloseTo(58, 10);
  });
});

describe("render", () => {
  const view = after(created, epochDone(1, 6), epochDone(2, 6), shrunk, progressed(3, 5));

  it("shows phase, losses, mIoU, SSR, candidates and removals", () => {
    const shown = text(view);
    expect(shown).toContain("s-abcdefghijkl  tiny on streets, seed 1  running  1m05s");
    expect(shown).toMatch(/\[>] search +\[#+\.+] epoch 2\/16 {2}step 5\/10 {2}1m21s left {2}6\.0 s\/epoch/);
    expect(shown).toContain("weights 1.250");
    expect(shown).toContain("supernet 31.3 %");
    expect(shown).toContain("factor 4.8");
    expect(shown).toContain("10^19.0 of 10^26.0 networks");
    expect(shown).toMatch(/depth +3\/4 {2}\[#{15}\.{5}] {2}1 groups open/);
    expect(shown).toContain("stage1/depth 1  p 0.050, best 0.950  below the threshold");
  });

  it.each([
    [20, 5],
    [2, 3],
    [60, 24],
    [200, 50],
  ])("fits %i columns and %i rows", (columns, rows) => {
    const lines = render(view, { ...screen, columns, rows, note: "a\nlong note ".repeat(30) });
    expect(lines.length).toBeLessThan(rows);
    for (const line of lines) {
      expect(line.length).toBeLessThanOrEqual(columns);
      expect(line).not.toMatch(/[\n\r\t]/);
    }
  });

  it("keeps the time left on 80 columns", () => {
    expect(text(view, { ...screen, columns: 80 })).toMatch(/1m21s left/);
  });

  it("shows something before the first event", () => {
    expect(text(initialView("s-abcdefghijkl"))).toBe("Lathe s-abcdefghijkl  pending");
  });

  it("truncates a line with an ellipsis", () => {
    expect(text(initialView("s-abcdefghijkl"), { ...screen, columns: 9 })).toBe("Lathe ...");
  });
});

describe("an alarm", () => {
  const raised = (policy: HealthPolicy) =>
    respond({
      $case: "healthAlarmRaised",
      value: { kind: HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP, epoch: 2, policy, message: "the mIoU fell" },
    });

  it("is a line with its effect, and stays visible", () => {
    const view = after(created, epochDone(2, 6), raised(HealthPolicy.HEALTH_POLICY_REPORT));
    expect(eventLine(raised(HealthPolicy.HEALTH_POLICY_REPORT), view)).toBe(
      "alarm MIOU_DROP at epoch 2: the mIoU fell",
    );
    expect(text(view)).toContain("alarm          MIOU_DROP at epoch 2: the mIoU fell");
    expect(view.state).toBe("running");
  });

  it("on labels comes before the first epoch", () => {
    const value = { kind: HealthAlarmKind.HEALTH_ALARM_KIND_LABELS, epoch: 0, message: 'class "car" has no pixel' };
    const labels = respond({ $case: "healthAlarmRaised", value });
    const view = after(created, labels);
    expect(eventLine(labels, view)).toBe('alarm LABELS before the first epoch: class "car" has no pixel');
    expect(text(view)).toContain('alarm          LABELS before the first epoch: class "car" has no pixel');
  });

  it("that pauses the search shows it as paused", () => {
    const paused = raised(HealthPolicy.HEALTH_POLICY_PAUSE);
    expect(after(created, paused).state).toBe("paused");
    expect(eventLine(paused, after(created, paused))).toContain("at epoch 2 (the search is paused): ");
  });
});

describe("a given network", () => {
  const algorithm = { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype: largestGenotype(space) };
  const begun = respond({ $case: "searchCreated", value: { spec: { ...spec, algorithm }, space, specSha256: "" } });
  const step = { phase: "retrain", epoch: 2, epochs: 4, step: 5, steps: 10, loss: 0.75 };
  const view = after(
    begun,
    respond({
      $case: "retrainingEpochCompleted",
      value: { epoch: 1, epochs: 4, loss: 0.9, bestMiou: 0.25, seconds: 6 },
    }),
    respond({ $case: "trainingProgressed", value: step }, 0),
  );

  it("is trained and measured, without the phases of a search", () => {
    expect(view.phases.map(({ name, status }) => `${name} ${status}`)).toEqual(["retrain running", "profile waiting"]);
    const shown = text(view);
    expect(shown).toContain("s-abcdefghijkl  given network, tiny on streets, seed 1  running");
    expect(shown).toMatch(/\[>] retrain +\[#+\.+] epoch 1\/4 {2}step 5\/10/);
    expect(shown).toMatch(/loss +0\.750/);
    expect(shown).toMatch(/mIoU +retrained 25\.0 %/);
    expect(shown).not.toMatch(/space|candidates|SSR|cost|supernet|derive/);
  });

  it("has a line for each epoch of its training, evaluated or not", () => {
    const line = (validationMiou?: number) => {
      const value = {
        epoch: 2,
        epochs: 4,
        loss: 0.9,
        bestMiou: 0.25,
        seconds: 6,
        ...(validationMiou && { validationMiou }),
      };
      return eventLine(respond({ $case: "retrainingEpochCompleted", value }), view);
    };
    expect(line()).toBe("retraining epoch 2/4: loss 0.900, not evaluated, best 25.0 %, 6.0 s");
    expect(line(0.125)).toBe("retraining epoch 2/4: loss 0.900, mIoU 12.5 % (best 25.0 %), 6.0 s");
  });

  it("is named by its blocks in the first line of a log", () => {
    expect(eventLine(begun, after(begun))).toMatch(
      /^search s-abcdefghijkl created: given network, tiny on streets, seed 1; d1s1 16\/16, .* \| d1s1 32\/32/,
    );
  });
});

describe("a search that evaluates networks", () => {
  const kind = AlgorithmKind.ALGORITHM_KIND_EVOLUTION;
  const begun = respond({
    $case: "searchCreated",
    value: { spec: { ...spec, algorithm: { kind } }, space, specSha256: "" },
  });
  const sampled = (number: number) =>
    respond({
      $case: "samplingEpochCompleted",
      value: { epoch: number, epochs: 8, candidate: 0, loss: 0.75, seconds: 6 },
    });
  const epoch = sampled(1);
  const network = (index: number, validationMiou: number) =>
    respond({
      $case: "candidateEvaluated",
      value: {
        index,
        candidates: 40,
        genotype: largestGenotype(space),
        parent: index - 1,
        costRatio: 0.58,
        validationMiou,
        seconds: 0.25,
      },
    });
  const chosen = respond({
    $case: "architectureDerived",
    value: {
      genotype: largestGenotype(space),
      discreteMiou: 0.3,
      miouClasses: 3,
      figures: { params: 1000, macs: 2e6 },
      selection: { candidates: 40 },
    },
  });

  it("counts epochs and networks that several trainers tell of in any order", () => {
    const shown = text(after(begun, sampled(5), network(2, 0.2), sampled(1), network(1, 0.3)));
    expect(shown).toMatch(/\[>] search +\[#+\.+] epoch 2\/8/);
    expect(shown).toMatch(/networks +2 of 40 evaluated, the best 30\.0 %/);
  });

  it("shows networks instead of a shrinking space, and moves from the search to retraining", () => {
    const view = after(begun, epoch, network(1, 0.3), network(2, 0.2));
    const shown = text(view);
    expect(shown).toContain("evolution, tiny on streets, seed 1  running");
    expect(shown).toMatch(/\[>] search +\[#+\.+] epoch 1\/8/);
    expect(shown).toMatch(/networks +2 of 40 evaluated, the best 30\.0 %/);
    expect(shown).toMatch(/loss +0\.750/);
    expect(shown).not.toMatch(/candidates left|SSR|derive|supernet/);
    const next = after(begun, epoch, network(1, 0.3), chosen);
    expect(next.phases.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "search done",
      "retrain running",
      "profile waiting",
    ]);
    expect(text(next)).not.toContain("supernet");
  });

  it("has lines that mention no gap", () => {
    const lines = [begun, epoch, network(1, 0.3), network(2, 0.2), chosen].map((one) => eventLine(one, after(begun)));
    expect(lines[0]).toMatch(/created: evolution, tiny on streets, seed 1; 10\^26\.0 networks$/);
    expect(lines[1]).toBe("search epoch 1/8 (supernet, by single paths): loss 0.750, 6.0 s");
    expect(lines[2]).toMatch(/^network 1\/40 drawn at random: d1s1 .*; mIoU 30\.0 %, cost 58\.0 %, 0\.3 s$/);
    expect(lines[3]).toMatch(/^network 2\/40 from network 1: /);
    expect(lines[4]).toMatch(
      /^network chosen as the best of 40: d1s1 .*; mIoU 30\.0 % over 3 classes, 1\.00 k params, 2\.00 M MACs$/,
    );
  });
});

describe("event lines", () => {
  it("has one line per event, and none for progress messages", () => {
    const lines = [created, epochDone(2, 6), shrunk, progressed(3, 1)].map((one) => eventLine(one, after(created)));
    expect(lines[0]).toMatch(
      /^search s-abcdefghijkl created: tiny on streets, seed 1; 10\^26\.0 networks, 172 candidates$/,
    );
    expect(lines[1]).toMatch(/^search epoch 2\/16: loss 1\.250, mIoU 31\.3 %, .*, 6\.0 s$/);
    expect(lines[2]).toBe("shrunk after epoch 2: 1 candidates left the space (depth 1), 171 stay");
    expect(lines[3]).toBeUndefined();
  });
});

describe("numbers", () => {
  it.each([
    [3.21, "3.2s"],
    [9.97, "10s"],
    [75, "1m15s"],
    [59.7, "1m00s"],
    [3661, "1h01m"],
  ])("writes %f s as %s", (seconds, expected) => expect(duration(seconds)).toBe(expected));

  it.each([
    [950, "950"],
    [1234567, "1.23 M"],
    [13.78e9, "13.78 G"],
  ])("writes %f as %s", (value, expected) => expect(quantity(value)).toBe(expected));
});
