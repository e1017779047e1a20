import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { readHistory } from "../search/history";
import { page } from "./page";
import type { ClassConfusion } from "./scores";

/** The report of a search as HTML, from the folder with its history.jsonl, confusion.json and prediction sheets, as far as they are there. */
export function reportOf(search: Search, folder: string): string {
  const kinds = search.artifacts.map(({ kind }) => kind);
  const sheets = kinds
    .filter((kind) => kind.startsWith("predictions/") && existsSync(join(folder, kind)))
    .map((kind) => readFileSync(join(folder, kind)));
  const confusion = join(folder, "confusion.json");
  return page({
    search,
    events: readHistory(folder),
    sheets,
    confusion: existsSync(confusion) ? (JSON.parse(readFileSync(confusion, "utf8")) as ClassConfusion) : undefined,
  });
}
