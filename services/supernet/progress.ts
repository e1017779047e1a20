/** How far a training process is: epochs and steps counted from 1, loss the mean of the epoch so far. */
export interface StepProgress {
  epoch: number;
  epochs: number;
  step: number;
  steps: number;
  loss: number;
}
