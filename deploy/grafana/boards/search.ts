import { bars, board, curves, figures } from "./board";
import { alarms, gap } from "./shared";

const its = '{search_id="$search"}';
const perDimension = (metric: string) => [[`max by (dimension) (${metric}${its})`, "{{dimension}}"] as const];

export const search = board({
  uid: "lathe-search",
  title: "One search",
  description:
    "How the space of a search narrows and what its training yields. Purple lines are shrinks: candidates of a dimension left the space.",
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
        figures("Epochs done", "Share of the epochs of the supernet and of retraining that are done.", "percentunit", [
          [`max by (phase) (nas_search_epochs_done_ratio${its})`, "{{phase}}"],
        ]),
        figures("Validation mIoU", "Of the newest epoch.", "percentunit", [[`max(nas_val_score${its})`, "mIoU"]], {
          decimals: 1,
        }),
        figures("Candidates left", "Over all dimensions and live groups.", "short", [
          [`sum(max by (dimension) (nas_dimension_candidates${its}))`, "candidates"],
        ]),
        figures(
          "Cost",
          "Expected cost of the newest epoch and the cost aimed at, as shares of the largest network's.",
          "percentunit",
          [
            [`max(nas_search_expected_cost_ratio${its})`, "expected"],
            [`max(nas_search_cost_target_ratio${its})`, "target"],
          ],
          { w: 6, decimals: 1 },
        ),
        figures(
          "Silent for",
          "Time since a worker of the search was last heard of; none while it is paused or waits for a trainer.",
          "s",
          [[`time() - max(nas_search_last_progress_timestamp_seconds${its})`, "silent"]],
          { w: 6, decimals: 0 },
        ),
        bars(
          "Phase",
          "The phase that the search is in.",
          [[`max by (phase) (nas_search_phase${its}) == 1`, "{{phase}}"]],
          { w: 12 },
        ),
        bars(
          "State",
          "Whether the search waits for its first worker, runs or is paused.",
          [[`max by (state) (nas_search_state${its}) == 1`, "{{state}}"]],
          { w: 12 },
        ),
      ],
    },
    {
      title: "The space narrows",
      panels: [
        curves(
          "Candidates left",
          "Candidates left per dimension, over all groups that are still in the computation. A dimension is decided when each of its groups has one.",
          "short",
          perDimension("nas_dimension_candidates"),
          { min: 0, step: true },
        ),
        curves(
          "Entropy",
          "Mean entropy of the groups of a dimension that are undecided, in nats. It falls as the architecture parameters make up their mind; 0 is decided.",
          "none",
          perDimension("nas_dimension_entropy_nats"),
          { min: 0, decimals: 2, step: true },
        ),
        curves(
          "Solution Space Regularization",
          "Mean SSR per dimension: 0 at the uniform point, more negative the nearer to a vertex.",
          "none",
          perDimension("nas_search_ssr"),
          { decimals: 2, step: true },
        ),
        curves(
          "Size of the space",
          "log10 of the number of networks that are left to choose from.",
          "none",
          [[`max(nas_search_space_log10_size${its})`, "log10"]],
          { min: 0, decimals: 1, step: true },
        ),
        curves(
          "Normalised entropy",
          "Of the undecided groups: 1 is no preference.",
          "percentunit",
          perDimension("nas_dimension_entropy_ratio"),
          { min: 0, step: true },
        ),
        curves(
          "Cost against target",
          "Expected cost of the newest epoch, or cost of the newest network that was evaluated, and the cost aimed at, as shares of the largest network's.",
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
          "Mean loss of the newest epoch: weights and alphas of the supernet, the cost term, validation, and retraining.",
          "none",
          [[`max by (term) (nas_train_loss${its})`, "{{term}}"]],
          { w: 12, decimals: 3, step: true },
        ),
        curves(
          "Validation mIoU",
          "mIoU of the newest epoch on the validation split: of the supernet, then of the network being retrained.",
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
          "Largest of the steps of the newest epoch, before clipping.",
          "none",
          [[`max by (parameters) (nas_train_gradient_norm${its})`, "{{parameters}}"]],
          { min: 0, step: true },
        ),
        curves(
          "Most predicted class",
          "Share of the validation pixels that one class gets: near 1, the network predicts nothing else.",
          "percentunit",
          [[`max(nas_val_class_share_ratio${its})`, "share"]],
          { min: 0, step: true },
        ),
        curves(
          "Dominance",
          "Largest share of one candidate in the choices of the groups of a dimension.",
          "percentunit",
          perDimension("nas_dimension_dominance_ratio"),
          { min: 0, step: true },
        ),
        curves(
          "Capacity",
          "Expected cost, from the cheapest network of the space, 0, to the target, 1.",
          "percentunit",
          [[`max(nas_search_capacity_ratio${its})`, "capacity"]],
          { min: 0, step: true },
        ),
        alarms(
          "Alarms per kind in the range shown, of every search: the event of an alarm says which one (docs/health.md).",
        ),
        gap,
      ],
    },
  ],
});
