import { alarms, bars, board, curves, gap, stats } from "./board";

const its = '{search_id="$search"}';
const perDimension = (metric: string) => [[`max by (dimension) (${metric}${its})`, "{{dimension}}"] as const];

export const search = board({
  uid: "lathe-search",
  title: "One search",
  description:
    "How the space of one search shrinks, and how its training goes. Purple lines mark shrinks: candidates of a dimension were removed.",
  search: "one",
  marks: {
    name: "Shrink",
    expr: `1000 * max by (dimension) (nas_search_last_shrink_timestamp_seconds${its})`,
    text: "{{dimension}}",
  },
  rows: [
    {
      title: "Now",
      panels: [
        stats(
          "Epochs done",
          "Share of the epochs of the supernet and of retraining that are done.",
          "percentunit",
          [[`max by (phase) (nas_search_epochs_done_ratio${its})`, "{{phase}}"]],
          { last: true },
        ),
        stats(
          "Validation mIoU",
          "mIoU of the newest epoch on the validation split.",
          "percentunit",
          [[`max(nas_val_score${its})`, "mIoU"]],
          { decimals: 1, last: true },
        ),
        stats(
          "Candidates left",
          "Candidates left over all dimensions and live groups.",
          "short",
          [[`sum(max by (dimension) (nas_dimension_candidates${its}))`, "candidates"]],
          { last: true },
        ),
        stats(
          "Cost",
          "Expected cost of the newest epoch and the target cost, as shares of the cost of the largest network.",
          "percentunit",
          [
            [`max(nas_search_expected_cost_ratio${its})`, "expected"],
            [`max(nas_search_cost_target_ratio${its})`, "target"],
          ],
          { w: 6, decimals: 1, last: true },
        ),
        stats(
          "Time since last progress",
          "Time since the last progress message of the search. No data while the search is paused or waits for a trainer.",
          "s",
          [[`time() - max(nas_search_last_progress_timestamp_seconds${its})`, "since last progress"]],
          { w: 6, decimals: 0 },
        ),
        bars(
          "Phase",
          "Phase of the search over time.",
          [[`max by (phase) (nas_search_phase${its}) == 1`, "{{phase}}"]],
          { w: 12 },
        ),
        bars(
          "State",
          "State of the search over time: waiting for its first worker, running or paused.",
          [[`max by (state) (nas_search_state${its}) == 1`, "{{state}}"]],
          { w: 12 },
        ),
      ],
    },
    {
      title: "Search space",
      panels: [
        curves(
          "Candidates left",
          "Candidates left per dimension, over all live groups. A dimension is decided when each of its groups has one candidate.",
          "short",
          perDimension("nas_dimension_candidates"),
          { min: 0, step: true },
        ),
        curves(
          "Entropy",
          "Mean entropy of the undecided groups per dimension, in nats. It falls as the architecture parameters converge; 0 means decided.",
          "none",
          perDimension("nas_dimension_entropy_nats"),
          { min: 0, decimals: 2, step: true },
        ),
        curves(
          "Solution Space Regularization",
          "Mean SSR term per dimension: 0 for uniform probabilities, more negative closer to a one-hot choice.",
          "none",
          perDimension("nas_search_ssr"),
          { decimals: 2, step: true },
        ),
        curves(
          "Size of the space",
          "log10 of the number of networks left in the space.",
          "none",
          [[`max(nas_search_space_log10_size${its})`, "log10"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Normalised entropy",
          "Mean entropy of the undecided groups, as a share of its maximum. 1 means no preference.",
          "percentunit",
          perDimension("nas_dimension_entropy_ratio"),
          { min: 0, step: true },
        ),
        curves(
          "Cost against target",
          "Expected cost of the newest epoch (or cost of the newest evaluated network) and the target cost, as shares of the cost of the largest network.",
          "percentunit",
          [
            [`max(nas_search_expected_cost_ratio${its})`, "expected"],
            [`max(nas_search_cost_target_ratio${its})`, "target"],
          ],
          { min: 0, decimals: 1, step: true },
        ),
      ],
    },
    {
      title: "Training",
      panels: [
        curves(
          "Loss",
          "Mean losses of the newest epoch: weights and alphas of the supernet, cost term, validation and retraining.",
          "none",
          [[`max by (term) (nas_train_loss${its})`, "{{term}}"]],
          { w: 12, decimals: 3, step: true },
        ),
        curves(
          "Validation mIoU",
          "mIoU of the newest epoch on the validation split: first of the supernet, then of the network in retraining.",
          "percentunit",
          [[`max(nas_val_score${its})`, "mIoU"]],
          { w: 12, min: 0, decimals: 1, step: true },
        ),
      ],
    },
    {
      title: "Health",
      panels: [
        curves(
          "Gradient norm",
          "Largest gradient norm of the newest epoch, before clipping.",
          "none",
          [[`max by (parameters) (nas_train_gradient_norm${its})`, "{{parameters}}"]],
          { min: 0, step: true },
        ),
        curves(
          "Most predicted class",
          "Largest share of validation pixels that are predicted as one class. Near 1, the network predicts only that class.",
          "percentunit",
          [[`max(nas_val_class_share_ratio${its})`, "share"]],
          { min: 0, step: true },
        ),
        curves(
          "Dominance",
          "Largest share of one candidate in the probabilities of the groups of a dimension.",
          "percentunit",
          perDimension("nas_dimension_dominance_ratio"),
          { min: 0, step: true },
        ),
        curves(
          "Capacity",
          "Position of the expected cost between the cheapest network of the space (0) and the target (1).",
          "percentunit",
          [[`max(nas_search_capacity_ratio${its})`, "capacity"]],
          { min: 0, step: true },
        ),
        alarms(
          "Health alarms of all searches in the time range, by kind. The alarm's event names the search (docs/health.md).",
        ),
        gap,
      ],
    },
  ],
});
