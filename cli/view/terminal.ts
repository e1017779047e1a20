import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { eventLine, stepLine } from "./eventLine";
import { observe } from "./observe";
import { render } from "./render";
import { initialView } from "./searchView";

/** The output of a display, e.g. process.stdout. */
interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  on?(event: "resize", listener: () => void): unknown;
  removeListener?(event: "resize", listener: () => void): unknown;
}

/** Shows a running search. */
interface Display {
  event(response: WatchSearchResponse): void;
  /** Shows a line that is not an event. */
  say(line: string): void;
  /** Draws the last state and restores the terminal. */
  close(): void;
}

const redrawMs = 250;

/** Escape sequences: to the first column n rows up, and clear from there. */
const rewind = (rows: number) => `\r${rows > 0 ? `\x1b[${rows}A` : ""}\x1b[J`;

/** A display that redraws itself in place. */
function liveDisplay(searchId: string, screen: Screen): Display {
  let view = initialView(searchId);
  let note: string | undefined;
  let drawn: string[] = [];
  let dirty = true;
  let drawnAt = 0;

  const draw = () => {
    const columns = screen.columns || 80;
    // After a resize the terminal may have wrapped the drawn lines.
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);
    const lines = render(view, { columns, rows: screen.rows || 24, now: Date.now(), note });
    screen.write(`${rewind(Math.min(rows, (screen.rows || 24) - 1))}${lines.map((line) => `${line}\n`).join("")}`);
    drawn = lines;
    dirty = false;
    drawnAt = Date.now();
  };
  const tick = () => {
    // Redraw once a second for the clock, and earlier only after a change.
    if (dirty || Date.now() - drawnAt >= 1_000) draw();
  };
  const timer = setInterval(tick, redrawMs);
  screen.on?.("resize", draw);
  screen.write("\x1b[?25l");
  const showCursor = () => void screen.write("\x1b[?25h");
  process.once("exit", showCursor);
  draw();
  return {
    event(response) {
      view = observe(view, response);
      dirty = true;
    },
    say(line) {
      note = line;
      dirty = true;
    },
    close() {
      clearInterval(timer);
      screen.removeListener?.("resize", draw);
      process.removeListener("exit", showCursor);
      draw();
      showCursor();
    },
  };
}

/** After so many ms without a line, a log gets one with the progress. */
const SILENCE_MS = 30_000;

/** A display that writes one line per event, and one of the progress where none has come for long. */
export function plainDisplay(searchId: string, screen: Screen, now: () => number = Date.now): Display {
  let view = initialView(searchId);
  let written = now();
  const write = (line: string) => {
    written = now();
    screen.write(`${line}\n`);
  };
  return {
    event(response) {
      view = observe(view, response);
      const line = eventLine(response, view) ?? (now() - written >= SILENCE_MS ? stepLine(response) : undefined);
      if (line !== undefined) write(line);
    },
    say: write,
    close: () => {},
  };
}

const silentDisplay: Display = { event: () => {}, say: () => {}, close: () => {} };

/** The display for a screen: live on a terminal, one line per event elsewhere and with a `label`, which begins it; nothing if `silent`. */
export function openDisplay(
  searchId: string,
  screen: Screen,
  { silent = false, label }: { silent?: boolean; label?: string | undefined } = {},
): Display {
  if (silent) return silentDisplay;
  if (label !== undefined) return plainDisplay(searchId, { write: (text) => screen.write(`${label}: ${text}`) });
  return screen.isTTY && process.env.TERM !== "dumb" ? liveDisplay(searchId, screen) : plainDisplay(searchId, screen);
}
