import { alarms, bars, board, curves, gap, stats, table } from "./board";

const its = '{search_id=~"$search"}';

export const searches = board({
  uid: "lathe-searches",
  title: "Searches",
  description: "All searches: their progress, the work queue, outcomes and firing alerts.",
  search: "many",
  rows: {
    Now: [
      stats("short")("Active searches", "Searches that have not ended.", { active: "max(nas_search_active)" }),
      stats("short", { w: 6 })(
        "By state",
        "Active searches by state: waiting for their first worker, running or paused.",
        { "{{state}}": "sum by (state) (max by (search_id, state) (nas_search_state))" },
      ),
      stats("short", { w: 6 })(
        "Work",
        "Work items that are waiting, items in progress, and idle workers. Waiting items beside idle workers mean that the workers do not pull.",
        {
          waiting: 'sum(max by (consumer) (nas_jetstream_consumer_pending{stream="WORK"}))',
          "in hand": 'sum(max by (consumer) (nas_jetstream_consumer_ack_pending{stream="WORK"}))',
          "idle workers": 'sum(nas_jetstream_consumer_idle{stream="WORK"})',
        },
      ),
      stats("short", { w: 8, decimals: 0 })("Ended", "Searches that ended in the time range, by outcome.", {
        "{{outcome}}": "sum by (outcome) (increase(nas_searches_total[$__range]))",
      }),
      table([
        { label: "search_id", name: "search", opens: "lathe-search" },
        { label: "state" },
        { label: "phase" },
        { label: "epochs done", unit: "percentunit" },
        { label: "validation mIoU", unit: "percentunit" },
        { label: "candidates left" },
        { label: "expected cost", unit: "percentunit" },
        { label: "cost target", unit: "percentunit" },
        { label: "since last progress", unit: "s" },
      ])(
        "Running searches",
        "One row per active search; click on the id to open its board. The last column is the time since the last progress message; it is empty while the search is paused or waits for a trainer.",
        {
          "is in state": `max by (search_id, state) (nas_search_state${its}) == 1`,
          "is in phase": `max by (search_id, phase) (nas_search_phase${its}) == 1`,
          "epochs done": `max by (search_id) (nas_search_epochs_done_ratio{search_id=~"$search",phase="search"})`,
          "validation mIoU": `max by (search_id) (nas_val_score${its})`,
          "candidates left": `sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`,
          "expected cost": `max by (search_id) (nas_search_expected_cost_ratio${its})`,
          "cost target": `max by (search_id) (nas_search_cost_target_ratio${its})`,
          "since last progress": `time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})`,
        },
      ),
      table([{ label: "alertname", name: "alert" }, { label: "alertstate", name: "state" }, { label: "severity" }], {
        w: 12,
        h: 6,
      })("Alerts", "Firing and pending alerts. Each has a runbook in docs/runbooks. Empty if there are none.", {
        firing: 'max by (alertname, alertstate, severity) (ALERTS{alertname=~"Lathe.+"})',
      }),
      curves("s", { w: 12, h: 6 })(
        "Time since last progress",
        "Time since the last progress message of each search. LatheSearchStalled fires after 15 minutes plus its hold time of 5 minutes.",
        { "{{search_id}}": `time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})` },
      ),
      bars()("Phase", "Phase of each search over time.", {
        "{{search_id}} {{phase}}": `max by (search_id, phase) (nas_search_phase${its}) == 1`,
      }),
    ],
    Progress: [
      curves("percentunit", { decimals: 1, step: true })(
        "Validation mIoU",
        "mIoU of the newest evaluated epoch on the validation split: first of the supernet, then of the network in retraining.",
        { "{{search_id}}": `max by (search_id) (nas_val_score${its})` },
      ),
      curves("short", { step: true })("Candidates left", "Candidates left over all dimensions and live groups.", {
        "{{search_id}}": `sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`,
      }),
      curves("none", { decimals: 1, step: true })(
        "Size of the space",
        "log10 of the number of networks left in the space.",
        { "{{search_id}}": `max by (search_id) (nas_search_space_log10_size${its})` },
      ),
      curves("cpm", { w: 6 })("Removed", "Candidates removed per minute over all searches, by dimension.", {
        "{{dimension}}": "60 * sum by (dimension) (rate(nas_shrink_removed_total[$__rate_interval]))",
      }),
      curves("s", { w: 6 })("Epoch duration", "Mean time of an epoch, including training, evaluation and checkpoint.", {
        "{{phase}}":
          "sum by (phase) (rate(nas_epoch_duration_seconds_sum[$__rate_interval])) / sum by (phase) (rate(nas_epoch_duration_seconds_count[$__rate_interval]))",
      }),
      alarms("Health alarms of all searches in the time range, by kind (docs/health.md).", 6),
      curves("none", { w: 6, decimals: 0 })(
        "Losses not finite",
        "Trainings with a NaN or infinite loss or gradient in the time range.",
        { "{{phase}}": "sum by (phase) (increase(nas_train_losses_not_finite_total[$__range]))" },
      ),
    ],
    Outcomes: [
      curves("none")("Ended per hour", "Searches that ended per hour, by outcome.", {
        "{{outcome}}": "3600 * sum by (outcome) (rate(nas_searches_total[$__rate_interval]))",
      }),
      gap,
      curves("none")(
        "Derivations",
        "Networks derived from a supernet per minute, by outcome, and the mean time of a derivation, including its evaluations.",
        {
          "{{outcome}} per minute": "60 * sum by (outcome) (rate(nas_derivations_total[$__rate_interval]))",
          seconds:
            "sum(rate(nas_derivation_duration_seconds_sum[$__rate_interval])) / sum(rate(nas_derivation_duration_seconds_count[$__rate_interval]))",
        },
      ),
    ],
  },
});
