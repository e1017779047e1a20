import { complain } from "../exit";

/** How often a progress is drawn, in ms. */
const DRAWN_EVERY_MS = 100;
const CELLS = 24;

/** Draws a progress on a terminal, and nothing elsewhere. */
export function progressLine(what: string): (done: number, of: number) => void {
  if (!process.stderr.isTTY) return () => undefined;
  let drawn = 0;
  return (done, of) => {
    const now = performance.now();
    if (done < of && now - drawn < DRAWN_EVERY_MS) return;
    drawn = now;
    const cells = Math.round((CELLS * done) / of);
    process.stderr.write(`\r[${"#".repeat(cells)}${".".repeat(CELLS - cells)}] ${done}/${of} ${what}`);
    if (done === of) complain("");
  };
}
