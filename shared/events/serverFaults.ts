/** The first nats-server that delivers every waiting message after a purge by subject, as measured with 2.9.10 to 2.12.0. */
const PURGES_RIGHT = [2, 9, 12] as const;

/**
 * The loss that a nats-server of this version causes by its own fault, as a sentence; undefined where none is known. Lathe itself purges no
 * stream that has consumers.
 */
export function knownLoss(version: string): string | undefined {
  const parts = version.split(/[.-]/).slice(0, 3).map(Number);
  const at = PURGES_RIGHT.findIndex((wanted, index) => parts[index] !== wanted);
  if (at < 0 || !((parts[at] ?? NaN) < PURGES_RIGHT[at]!)) return undefined;
  return `nats-server ${version} takes waiting messages from a consumer when a stream is purged by subject: run no "nats stream purge --subject" on EVENTS or WORK, or update it to ${PURGES_RIGHT.join(".")} or newer`;
}
