/**
 * Lower bound of the difference between another clock and ours, in ms; positive where the other is ahead. 0 where the other's time lies
 * between question and answer, because the difference cannot be seen then.
 */
export function skewMs(theirs: number, askedAt: number, answeredAt: number): number {
  if (theirs < askedAt) return theirs - askedAt;
  return theirs > answeredAt ? theirs - answeredAt : 0;
}
