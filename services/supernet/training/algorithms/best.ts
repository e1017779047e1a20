/** Index of the network with the best validation mIoU, the first among equals; 0 of none. */
export function bestOf(past: readonly { validationMiou: number }[]): number {
  return past.reduce((best, { validationMiou }, at) => (validationMiou > past[best]!.validationMiou ? at : best), 0);
}
