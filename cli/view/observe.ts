import type { DimensionMetrics, EpochMetrics } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { Architecture, CostTable } from "../../shared/proto/lathe/v1/space";
import { HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { alarmReason } from "../../shared/spec/health";
import { phaseOfProgress, type PhaseName } from "../../shared/spec/phases";
import { withShare } from "../../shared/spec/target";
import { created, type Phase, type SearchView } from "./searchView";

function change(view: SearchView, name: PhaseName, update: (phase: Phase) => Partial<Phase>): SearchView {
  return { ...view, phases: view.phases.map((one) => (one.name === name ? { ...one, ...update(one) } : one)) };
}

type Epoch = Pick<EpochMetrics, "epoch" | "epochs" | "seconds">;

function endEpoch(before: SearchView, name: PhaseName, { epoch, epochs, seconds }: Epoch): SearchView {
  return change(begin(before, name), name, (one) => {
    const epochSeconds = [...one.epochSeconds, seconds];
    return { epoch, epochs: epochs || one.epochs, step: 0, epochSeconds };
  });
}

/** Ends a phase and starts the next one. */
function finish(view: SearchView, name: PhaseName): SearchView {
  const at = view.phases.findIndex((one) => one.name === name);
  return {
    ...view,
    phases: view.phases.map((one, index) => {
      if (index <= at) return { ...one, status: "done", step: 0, steps: 0 };
      return index === at + 1 ? { ...one, status: "running" } : one;
    }),
  };
}

/** Ends the phase before this one where no event has. Measurements and repairs of a network end without one. */
function begin(view: SearchView, name: PhaseName): SearchView {
  const at = view.phases.findIndex((one) => one.name === name);
  const before = view.phases[at - 1];
  return view.phases[at]?.status === "waiting" && before ? finish(view, before.name) : view;
}

function withCandidates(view: SearchView, dimensions: DimensionMetrics[]): SearchView {
  return {
    ...view,
    candidates: view.candidates.map((one) => {
      const now = dimensions.find(({ dimension }) => dimension === one.dimension);
      return now ? { ...one, now: now.candidates, undecided: now.undecidedGroups } : one;
    }),
  };
}

/** The candidates, counted from the survivors of the live groups. */
function withSurvivors(view: SearchView, { groups }: Architecture): SearchView {
  return {
    ...view,
    candidates: view.candidates.map((one) => {
      const live = groups.filter(({ dimension }) => dimension === one.dimension);
      return {
        ...one,
        now: live.reduce((sum, { survivors }) => sum + survivors.length, 0),
        undecided: live.filter(({ survivors }) => survivors.length > 1).length,
      };
    }),
  };
}

/** The target of a search for a latency: its share of the largest network's cost by the table. */
function aimedAt({ byLatency, created: start }: SearchView, table: CostTable | undefined): Partial<SearchView> {
  if (!byLatency || !table || !start?.spec || !start.space) return {};
  return { costTarget: withShare(start.spec, start.space, table).cost?.target ?? 0 };
}

/** The view after one more event. Pure: live events and replayed history give the same view. */
export function observe(before: SearchView, { event, time }: WatchSearchResponse): SearchView {
  const view = { ...before, startedAt: before.startedAt ?? time?.getTime() };
  switch (event?.$case) {
    case undefined:
      return view;
    case "searchCreated":
      return created(view, event.value);
    case "operatorsProfiled":
      return { ...finish(view, "operators"), ...aimedAt(view, event.value.table) };
    case "trainingProgressed": {
      const { phase: work, step, steps, epoch, epochs, loss } = event.value;
      const name = phaseOfProgress(work);
      if (!name) return view;
      if (name === "operators" || name === "derive")
        return change(view, name, ({ status }) => (status === "running" ? { step, steps } : {}));
      // Progress may arrive after the event that ended its epoch; it is then ignored.
      const moved = change(begin(view, name), name, (one) =>
        !(one.done?.includes(epoch) ?? epoch <= one.epoch) ? { step, steps, ...(epochs > 0 && { epochs }) } : {},
      );
      return { ...moved, stepLoss: loss };
    }
    case "epochCompleted": {
      const { metrics } = event.value;
      if (!metrics) return view;
      const moved = withCandidates(endEpoch(view, "search", metrics), metrics.dimensions);
      return { ...moved, epoch: metrics, log10Now: metrics.log10Space || moved.log10Now };
    }
    case "spaceShrunk": {
      const { epoch, removals, log10Space, architecture } = event.value;
      const shrunk = architecture ? withSurvivors(view, architecture) : view;
      return { ...shrunk, log10Now: log10Space, lastRemovals: { epoch, removals } };
    }
    case "supernetConverged":
      return { ...finish(view, "search"), supernetMiou: event.value.validationMiou };
    case "samplingEpochCompleted": {
      // The epochs of several trainings may alternate, so they are counted.
      const done = [...(view.phases.find(({ name }) => name === "search")?.done ?? []), event.value.epoch];
      const ended = endEpoch(view, "search", { ...event.value, epoch: done.length });
      return { ...change(ended, "search", () => ({ done })), stepLoss: event.value.loss };
    }
    case "candidateEvaluated": {
      const { candidates, validationMiou } = event.value;
      const { networks = 0, bestMiou = 0 } = view.evaluated ?? {};
      // Several workers may evaluate networks, in any order.
      const best = Math.max(bestMiou, validationMiou);
      return { ...view, evaluated: { networks: networks + 1, of: candidates, bestMiou: best } };
    }
    case "architectureDerived":
      return {
        ...(view.byLatency ? begin(view, "derive") : finish(view, event.value.selection ? "search" : "derive")),
        supernetMiou: event.value.selection ? undefined : event.value.supernetMiou,
        discreteMiou: event.value.discreteMiou,
      };
    case "retrainingEpochCompleted": {
      const { bestMiou, loss } = event.value;
      return { ...endEpoch(view, "retrain", event.value), retrainedMiou: bestMiou, retrainingLoss: loss };
    }
    case "networkTrained":
      return { ...finish(view, "retrain"), retrainedMiou: event.value.validationMiou };
    case "networkProfiled":
      return finish(view, "profile");
    case "healthAlarmRaised": {
      const { kind, epoch, policy, message } = event.value;
      const pauses = policy === HealthPolicy.HEALTH_POLICY_PAUSE;
      return { ...view, lastAlarm: { name: alarmReason(kind), epoch, message }, ...(pauses && { state: "paused" }) };
    }
    case "deviceAvailabilityChanged": {
      const { available, message } = event.value;
      return { ...view, waiting: available ? undefined : message };
    }
    case "searchPaused":
      return { ...view, state: "paused" };
    case "searchResumed":
      return { ...settle(view, restarted), state: "running", reason: undefined };
    case "workFailed":
      return { ...view, reason: event.value.message };
    case "searchSucceeded":
      return { ...settle(view, () => "done"), state: "succeeded" };
    case "searchFailed":
      return { ...settle(view, failed), state: "failed", reason: event.value.message || event.value.reason };
    case "searchCancelled":
      return { ...settle(view, failed), state: "cancelled", reason: event.value.reason };
    case "networkKept":
    case "spaceKept":
    case "architectureRepaired":
      return change(view, "derive", () => ({ step: 0, steps: 0 }));
    case "architectureMeasured":
    case "architectureChosen":
    case "searchBranched":
      return view;
  }
}

function settle(view: SearchView, status: (phase: Phase) => Phase["status"]): SearchView {
  return { ...view, phases: view.phases.map((one) => ({ ...one, status: status(one) })) };
}

const failed = ({ status }: Phase) => (status === "running" ? "failed" : status);
const restarted = ({ status }: Phase) => (status === "failed" ? "running" : status);
