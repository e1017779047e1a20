/** Largest message either way; files travel in chunks far below. */
export const maxMessageBytes = 16 * 1024 * 1024;

/** Whether a host or address can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}
