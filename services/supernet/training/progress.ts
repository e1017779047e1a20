/** Steps that have been made ready for an epoch. */
export interface CompiledSteps {
  epoch: number;
  /** "blocked", or "plain" with the reason. */
  formulation: string;
  /** Nodes of the graphs of both steps. */
  nodes: number;
  /** For tracing and compiling them and the evaluation. */
  seconds: number;
  /** Memory that the training is estimated to hold with them; 0: not estimated. */
  estimatedBytes: number;
}

/** How far a training process is: epochs and steps counted from 1, loss the mean of the epoch so far. */
export interface StepProgress {
  epoch: number;
  epochs: number;
  step: number;
  steps: number;
  loss: number;
}
