/**
 * How far a clock is ahead of ours, ms, negative: behind; 0 where its time lies within the round trip of the question, where nobody can
 * tell.
 */
export function skewMs(told: number, askedAt: number, answeredAt: number): number {
  if (told < askedAt) return told - askedAt;
  return told > answeredAt ? told - answeredAt : 0;
}
