import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { eventLine } from "./eventLine";
import { initialProgress, observe, type Progress } from "./progress";
import { render } from "./render";

/** Where a view writes; process.stdout is one. */
interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  on?(event: "resize", listener: () => void): unknown;
  removeListener?(event: "resize", listener: () => void): unknown;
}

/** A view of a running search. */
interface View {
  readonly progress: Progress;
  event(response: WatchSearchResponse): void;
  /** A line that is not an event. */
  say(line: string): void;
  /** Draws the last state, and gives the terminal back. */
  close(): void;
}

const redrawMs = 250;

/** Escape sequences: to the first column n rows up, and clear from there. */
const rewind = (rows: number) => `\r${rows > 0 ? `\x1b[${rows}A` : ""}\x1b[J`;

/** A view that draws over itself. */
function liveView(searchId: string, screen: Screen): View {
  let progress = initialProgress(searchId);
  let note: string | undefined;
  let drawn: string[] = [];
  let dirty = true;
  let drawnAt = 0;

  const draw = () => {
    const columns = screen.columns || 80;
    // After a resize the terminal may have wrapped what stands there.
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);
    const lines = render(progress, { columns, rows: screen.rows || 24, now: Date.now(), note });
    screen.write(`${rewind(Math.min(rows, (screen.rows || 24) - 1))}${lines.map((line) => `${line}\n`).join("")}`);
    drawn = lines;
    dirty = false;
    drawnAt = Date.now();
  };
  const tick = () => {
    // Once a second for the clock, more often only for news.
    if (dirty || Date.now() - drawnAt >= 1_000) draw();
  };
  const timer = setInterval(tick, redrawMs);
  screen.on?.("resize", draw);
  screen.write("\x1b[?25l");
  const showCursor = () => void screen.write("\x1b[?25h");
  process.once("exit", showCursor);
  draw();
  return {
    get progress() {
      return progress;
    },
    event(response) {
      progress = observe(progress, response);
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

/** A view of one line per event. */
function plainView(searchId: string, screen: Screen): View {
  let progress = initialProgress(searchId);
  return {
    get progress() {
      return progress;
    },
    event(response) {
      progress = observe(progress, response);
      const line = eventLine(response, progress);
      if (line !== undefined) screen.write(`${line}\n`);
    },
    say: (line) => void screen.write(`${line}\n`),
    close: () => {},
  };
}

/** Keeps the state and shows nothing. */
function silentView(searchId: string): View {
  let progress = initialProgress(searchId);
  return {
    get progress() {
      return progress;
    },
    event: (response) => void (progress = observe(progress, response)),
    say: () => {},
    close: () => {},
  };
}

/** The view that fits: live on a terminal, plain lines elsewhere, silent for machines. */
export function openView(searchId: string, screen: Screen, { silent = false } = {}): View {
  if (silent) return silentView(searchId);
  return screen.isTTY && process.env.TERM !== "dumb" ? liveView(searchId, screen) : plainView(searchId, screen);
}
