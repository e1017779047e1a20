import { bars, board, curves, figures, table } from "./board";
import { alarms, gap } from "./shared";

const its = '{search_id=~"$search"}';

export const searches = board({
  uid: "lathe-searches",
  title: "Searches",
  description: "All searches: which run and how far they are, what waits, how searches end, and which alerts fire.",
  search: "many",
  rows: [
    {
      title: "Now",
      panels: [
        figures("Active searches", "Searches that have not ended.", "short", [["max(nas_search_active)", "active"]]),
        figures(
          "By state",
          "Active searches that wait for their first worker, run or are paused.",
          "short",
          [["sum by (state) (max by (search_id, state) (nas_search_state))", "{{state}}"]],
          { w: 6 },
        ),
        figures(
          "Work",
          "Work items that nobody has taken yet, items in hand, and workers without one. Items that wait beside idle workers mean that the workers do not pull.",
          "short",
          [
            ['sum(max by (consumer) (nas_jetstream_consumer_pending{stream="WORK"}))', "waiting"],
            ['sum(max by (consumer) (nas_jetstream_consumer_ack_pending{stream="WORK"}))', "in hand"],
            ['sum(nas_jetstream_consumer_idle{stream="WORK"})', "idle workers"],
          ],
          { w: 6 },
        ),
        figures(
          "Ended",
          "Searches that ended within the time shown, by outcome.",
          "short",
          [["sum by (outcome) (increase(nas_searches_total[$__range]))", "{{outcome}}"]],
          { w: 8, decimals: 0 },
        ),
        table(
          "Running searches",
          "A row per active search; a click on its id opens its board. Silent for: time since a worker of it was last heard of; none while it is paused or waits for a trainer.",
          [
            { label: "search_id", name: "search", opens: "lathe-search" },
            { label: "state" },
            { label: "phase" },
            { label: "epochs done", unit: "percentunit" },
            { label: "validation mIoU", unit: "percentunit" },
            { label: "candidates left" },
            { label: "expected cost", unit: "percentunit" },
            { label: "cost target", unit: "percentunit" },
            { label: "silent for", unit: "s" },
          ],
          [
            [`max by (search_id, state) (nas_search_state${its}) == 1`, "is in state"],
            [`max by (search_id, phase) (nas_search_phase${its}) == 1`, "is in phase"],
            [`max by (search_id) (nas_search_epochs_done_ratio{search_id=~"$search",phase="search"})`, "epochs done"],
            [`max by (search_id) (nas_val_score${its})`, "validation mIoU"],
            [`sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`, "candidates left"],
            [`max by (search_id) (nas_search_expected_cost_ratio${its})`, "expected cost"],
            [`max by (search_id) (nas_search_cost_target_ratio${its})`, "cost target"],
            [`time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})`, "silent for"],
          ],
        ),
        table(
          "Alerts",
          "Alerts of the rules that fire or are about to; each has a runbook in docs/runbooks. Empty while all is well.",
          [{ label: "alertname", name: "alert" }, { label: "alertstate", name: "state" }, { label: "severity" }],
          [['max by (alertname, alertstate, severity) (ALERTS{alertname=~"Lathe.+"})', "firing"]],
          { w: 12, h: 6 },
        ),
        curves(
          "Silent for",
          "Time since a worker of a search was last heard of; a quarter of an hour of silence means that it is stuck.",
          "s",
          [[`time() - max by (search_id) (nas_search_last_progress_timestamp_seconds${its})`, "{{search_id}}"]],
          { w: 12, h: 6, min: 0 },
        ),
        bars("Phase", "The phase that each search is in.", [
          [`max by (search_id, phase) (nas_search_phase${its}) == 1`, "{{search_id}} {{phase}}"],
        ]),
      ],
    },
    {
      title: "How the searches go",
      panels: [
        curves(
          "Validation mIoU",
          "mIoU of the newest epoch on the validation split: of the supernet, then of the network being retrained.",
          "percentunit",
          [[`max by (search_id) (nas_val_score${its})`, "{{search_id}}"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Candidates left",
          "Candidates left over all dimensions and all groups that are still in the computation.",
          "short",
          [[`sum by (search_id) (max by (search_id, dimension) (nas_dimension_candidates${its}))`, "{{search_id}}"]],
          { min: 0, step: true },
        ),
        curves(
          "Size of the space",
          "log10 of the number of networks that are left to choose from.",
          "none",
          [[`max by (search_id) (nas_search_space_log10_size${its})`, "{{search_id}}"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Removed",
          "Candidates that left per minute, per dimension, over all searches.",
          "cpm",
          [["60 * sum by (dimension) (rate(nas_shrink_removed_total[$__rate_interval]))", "{{dimension}}"]],
          { min: 0 },
        ),
        curves(
          "Epoch duration",
          "Mean time of an epoch, training, evaluation and checkpoint together.",
          "s",
          [
            [
              "sum by (phase) (rate(nas_epoch_duration_seconds_sum[$__rate_interval])) / sum by (phase) (rate(nas_epoch_duration_seconds_count[$__rate_interval]))",
              "{{phase}}",
            ],
          ],
          { min: 0 },
        ),
        alarms("Health alarms per kind, over all searches, in the range shown (docs/health.md)."),
      ],
    },
    {
      title: "How they end",
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
          "Networks cut out of a supernet per minute, by outcome, and the mean time that one takes, evaluations included.",
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
