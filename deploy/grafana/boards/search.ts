import { alarms, bars, board, curves, gap, stats } from "./board";

const its = '{search_id="$search"}';
const perDimension = (metric: string) => ({ "{{dimension}}": `max by (dimension) (${metric}${its})` });
const costs = {
  expected: `max(nas_search_expected_cost_ratio${its})`,
  target: `max(nas_search_cost_target_ratio${its})`,
};

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
  rows: {
    Now: [
      stats("percentunit", { last: true })(
        "Epochs done",
        "Share of the epochs of the supernet and of retraining that are done.",
        { "{{phase}}": `max by (phase) (nas_search_epochs_done_ratio${its})` },
      ),
      stats("percentunit", { decimals: 1, last: true })(
        "Validation mIoU",
        "mIoU of the newest evaluated epoch on the validation split.",
        { mIoU: `max(nas_val_score${its})` },
      ),
      stats("short", { last: true })("Candidates left", "Candidates left over all dimensions and live groups.", {
        candidates: `sum(max by (dimension) (nas_dimension_candidates${its}))`,
      }),
      stats("percentunit", { w: 6, decimals: 1, last: true })(
        "Cost",
        "Expected cost of the newest epoch and the target cost, as shares of the cost of the largest network.",
        costs,
      ),
      stats("s", { w: 6, decimals: 0 })(
        "Time since last progress",
        "Time since the last progress message of the search. No data while the search is paused or waits for a trainer.",
        { "since last progress": `time() - max(nas_search_last_progress_timestamp_seconds${its})` },
      ),
      bars({ w: 12 })("Phase", "Phase of the search over time.", {
        "{{phase}}": `max by (phase) (nas_search_phase${its}) == 1`,
      }),
      bars({ w: 12 })("State", "State of the search over time: waiting for its first worker, running or paused.", {
        "{{state}}": `max by (state) (nas_search_state${its}) == 1`,
      }),
    ],
    "Search space": [
      curves("short", { step: true })(
        "Candidates left",
        "Candidates left per dimension, over all live groups. A dimension is decided when each of its groups has one candidate.",
        perDimension("nas_dimension_candidates"),
      ),
      curves("none", { decimals: 2, step: true })(
        "Entropy",
        "Mean entropy of the undecided groups per dimension, in nats. It falls as the architecture parameters converge; 0 means decided.",
        perDimension("nas_dimension_entropy_nats"),
      ),
      curves("none", { decimals: 2, step: true, signed: true })(
        "Solution Space Regularization",
        "Mean SSR term per dimension: 0 for uniform probabilities, more negative closer to a one-hot choice.",
        perDimension("nas_search_ssr"),
      ),
      curves("none", { decimals: 1, step: true })(
        "Size of the space",
        "log10 of the number of networks left in the space.",
        { log10: `max(nas_search_space_log10_size${its})` },
      ),
      curves("percentunit", { step: true })(
        "Normalised entropy",
        "Mean entropy of the undecided groups, as a share of its maximum. 1 means no preference.",
        perDimension("nas_dimension_entropy_ratio"),
      ),
      curves("percentunit", { decimals: 1, step: true })(
        "Cost against target",
        "Expected cost of the newest epoch (or cost of the newest evaluated network) and the target cost, as shares of the cost of the largest network.",
        costs,
      ),
    ],
    Training: [
      curves("none", { w: 12, decimals: 3, step: true, signed: true })(
        "Loss",
        "Mean losses of the newest epoch: weights and alphas of the supernet, cost term, validation and retraining.",
        { "{{term}}": `max by (term) (nas_train_loss${its})` },
      ),
      curves("percentunit", { w: 12, decimals: 1, step: true })(
        "Validation mIoU",
        "mIoU of the newest epoch on the validation split: first of the supernet, then of the network in retraining.",
        { mIoU: `max(nas_val_score${its})` },
      ),
    ],
    Health: [
      curves("none", { step: true })("Gradient norm", "Largest gradient norm of the newest epoch, before clipping.", {
        "{{parameters}}": `max by (parameters) (nas_train_gradient_norm${its})`,
      }),
      curves("percentunit", { step: true })(
        "Most predicted class",
        "Largest share of validation pixels that are predicted as one class. Near 1, the network predicts only that class.",
        { share: `max(nas_val_class_share_ratio${its})` },
      ),
      curves("percentunit", { step: true })(
        "Dominance",
        "Largest share of one candidate in the probabilities of the groups of a dimension.",
        perDimension("nas_dimension_dominance_ratio"),
      ),
      curves("percentunit", { step: true })(
        "Capacity",
        "Position of the expected cost between the cheapest network of the space (0) and the target (1).",
        { capacity: `max(nas_search_capacity_ratio${its})` },
      ),
      alarms(
        "Health alarms of all searches in the time range, by kind. The alarm's event names the search (docs/health.md).",
      ),
      gap,
    ],
  },
});
