import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { boards, text } from "./boards";

const folder = join(__dirname, "..", "dashboards");
mkdirSync(folder, { recursive: true });
for (const [file, board] of Object.entries(boards)) writeFileSync(join(folder, file), text(board));
