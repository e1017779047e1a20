import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/root";
import { documented, readDocument, TROUBLESHOOTING, userMessages } from "./document";

/* `npm run messages`: writes the messages of the code into docs/troubleshooting.md, and names the reasons that it does not explain. */
const root = packageRoot();
const { text, missing, idle } = documented(readDocument(root), userMessages(root));
writeFileSync(join(root, TROUBLESHOOTING), text);
for (const reason of missing) console.error(`${TROUBLESHOOTING} does not explain ${reason}`);
for (const reason of idle) console.error(`${TROUBLESHOOTING} explains ${reason}, which no message has`);
process.exitCode = missing.length + idle.length > 0 ? 1 : 0;
