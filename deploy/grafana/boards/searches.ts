import { alarms, bars, board, curves, gap, stats, table } from "./board";

const its = '{search_id=~"$search"}';

export const searches = board({
  uid: "lathe-searches",
  title: "Searches",
  description: "All searches: their progress, the work queue, outcomes and firing alerts.",
  search: "many",
  rows: [
    {
      title: "Now",
      panels: [
        stats("Active searches", "Searches that have not ended.", "short", [["max(nas_search_active)", "active"]]),
        stats(
          "By state",
          "Active searches by state: waiting for their first worker, running or paused.",
          "short",
          [["sum by (state) (max by (search_id, state) (nas_search_state))", "{{state}}"]],
          { w: 6 },
        ),
        stats(
          "Work",
          "Work items that are waiting, items in progress, and idle workers. Waiting items beside idle workers mean that the workers do not pull.",
          "short",
          [
            ['sum(max by (consumer) (nas_jetstream_consumer_pending{stream="WORK"}))', "waiting"],
            ['sum(max by (consumer) (nas_jetstream_consumer_ack_pending{stream="WORK"}))', "in hand"],
            ['sum(nas_jetstream_consumer_idle{stream="WORK"})', "idle workers"],
          ],
          { w: 6 },
        ),
        stats(
          "Ended",
          "Searches that ended in the time range, by outcome.",
          "short",
          [["sum by (outcome) (increase(nas_searches_total[$__range]))", "{{outcome}}"]],
          { w: 8, decimals: 0 },
        ),
        table(
          "Running searches",
          "One row per active search; click on the id to open its board. The last column is the time since the last progress message; it is empty while the search is paused or waits for a trainer.",
          [
            { label: "search_id", name: "search", opens: "lathe-search" },
            { label: "state" },
            { label: "phase" },
            { label: "epochs done", unit: "percentunit" },
            { label: "validation mIoU", unit: "percentunit" },
            { label: "candidates left" },
            { label: "expected cost", unit: "percentunit" },
            { label: "cost target", unit: "percentunit" },
            { label: "since last progress", unit: "s" },
          ],
          [
            [`max by (search_id, state) (nas_search_state${its}) == 1`, "is in state"],
            [`max by (search_id, phase) (nas_search_phase${its}) == 1`, "is in phase"],
            [`max by (search_id) (nas_search_epochs_done_ratio{search_id=~"$search",phase="search"})`, "epochs done"],
            [`max by (search_id) (nas_val_score${its})`, "validation mIoU"],
            [`sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`, "candidates left"],
            [`max by (search_id) (nas_search_expected_cost_ratio${its})`, "expected cost"],
            [`max by (search_id) (nas_search_cost_target_ratio${its})`, "cost target"],
            [`time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})`, "since last progress"],
          ],
        ),
        table(
          "Alerts",
          "Firing and pending alerts. Each has a runbook in docs/runbooks. Empty if there are none.",
          [{ label: "alertname", name: "alert" }, { label: "alertstate", name: "state" }, { label: "severity" }],
          [['max by (alertname, alertstate, severity) (ALERTS{alertname=~"Lathe.+"})', "firing"]],
          { w: 12, h: 6 },
        ),
        curves(
          "Time since last progress",
          "Time since the last progress message of each search. LatheSearchStalled fires after 15 minutes plus its hold time of 5 minutes.",
          "s",
          [[`time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})`, "{{search_id}}"]],
          { w: 12, h: 6, min: 0 },
        ),
        bars("Phase", "Phase of each search over time.", [
          [`max by (search_id, phase) (nas_search_phase${its}) == 1`, "{{search_id}} {{phase}}"],
        ]),
      ],
    },
    {
      title: "Progress",
      panels: [
        curves(
          "Validation mIoU",
          "mIoU of the newest epoch on the validation split: first of the supernet, then of the network in retraining.",
          "percentunit",
          [[`max by (search_id) (nas_val_score${its})`, "{{search_id}}"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Candidates left",
          "Candidates left over all dimensions and live groups.",
          "short",
          [[`sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`, "{{search_id}}"]],
          { min: 0, step: true },
        ),
        curves(
          "Size of the space",
          "log10 of the number of networks left in the space.",
          "none",
          [[`max by (search_id) (nas_search_space_log10_size${its})`, "{{search_id}}"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Removed",
          "Candidates removed per minute over all searches, by dimension.",
          "cpm",
          [["60 * sum by (dimension) (rate(nas_shrink_removed_total[$__rate_interval]))", "{{dimension}}"]],
          { w: 6, min: 0 },
        ),
        curves(
          "Epoch duration",
          "Mean time of an epoch, including training, evaluation and checkpoint.",
          "s",
          [
            [
              "sum by (phase) (rate(nas_epoch_duration_seconds_sum[$__rate_interval])) / sum by (phase) (rate(nas_epoch_duration_seconds_count[$__rate_interval]))",
              "{{phase}}",
            ],
          ],
          { w: 6, min: 0 },
        ),
        alarms("Health alarms of all searches in the time range, by kind (docs/health.md).", 6),
        curves(
          "Losses not finite",
          "Trainings with a NaN or infinite loss or gradient in the time range.",
          "none",
          [["sum by (phase) (increase(nas_train_losses_not_finite_total[$__range]))", "{{phase}}"]],
          { w: 6, min: 0, decimals: 0 },
        ),
      ],
    },
    {
      title: "Outcomes",
      panels: [
        curves(
          "Ended per hour",
          "Searches that ended per hour, by outcome.",
          "none",
          [["3600 * sum by (outcome) (rate(nas_searches_total[$__rate_interval]))", "{{outcome}}"]],
          { min: 0 },
        ),
        gap,
        curves(
          "Derivations",
          "Networks derived from a supernet per minute, by outcome, and the mean time of a derivation, including its evaluations.",
          "none",
          [
            ["60 * sum by (outcome) (rate(nas_derivations_total[$__rate_interval]))", "{{outcome}} per minute"],
            [
              "sum(rate(nas_derivation_duration_seconds_sum[$__rate_interval])) / sum(rate(nas_derivation_duration_seconds_count[$__rate_interval]))",
              "seconds",
            ],
          ],
          { min: 0 },
        ),
      ],
    },
  ],
});
