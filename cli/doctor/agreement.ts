import type { ServiceTarget } from "./deployment";
import { fault, ok, warning, type Finding } from "./finding";
import type { About } from "./service";

/** A process that answered, with its /about. */
interface Asked {
  target: Pick<ServiceTarget, "name">;
  about: About;
}

/** Checks that versions, engines and data folders of the processes agree; `version` is that of this command. */
export function judgeAgreement(asked: readonly Asked[], version: string): Finding[] {
  if (asked.length === 0) return [];
  return [versions(asked, version), ...engines(asked), ...dataFolders(asked)];
}

function versions(asked: readonly Asked[], version: string): Finding {
  const other = asked.filter(({ about }) => about.version !== version);
  if (other.length === 0) return ok("versions", `all that answer are ${version}`);
  const found = `${other.map(({ target, about }) => `${target.name} is ${about.version}`).join(", ")}; this command is ${version}`;
  const differ = new Set(asked.map(({ about }) => about.version)).size > 1;
  return differ
    ? fault("versions", found, "roll all services out to one version")
    : warning("versions", found, "use the command of that version");
}

function engines(asked: readonly Asked[]): Finding[] {
  return asked.flatMap(({ target, about: { engine } }) =>
    engine ? [ok(target.name, `computes on ${engine.engine}/${engine.provider} in ${engine.precision}`)] : [],
  );
}

/** Supernet and discretization must read the same data, because a search is trained in one and derived in the other. */
function dataFolders(asked: readonly Asked[]): Finding[] {
  const reading = asked.filter(({ about }) => about.engine !== undefined);
  if (reading.every(({ about }) => about.dataFolders?.length === 0)) {
    const mend = "set LATHE_DATA_FOLDER (dataset.claimName in the chart) to search on data of your own";
    return [
      warning("data sets", "no folder is mounted: only generated scenes (kind streets) can be searched on", mend),
    ];
  }
  // An unreadable folder is reported by its own fault.
  const readable = reading.filter(({ about }) => !about.dataFolders?.some(({ fault }) => fault !== undefined));
  const has = ({ about: { dataFolders: folders } }: Asked) => {
    if (folders === undefined) return "any folder of its machine (LATHE_DATA_FOLDER is not set)";
    if (folders.length === 0) return "no folder";
    return folders.map(({ path, dataSets }) => `${dataSets?.join(", ") || "none"} in ${path}`).join("; ");
  };
  const [first, ...rest] = readable;
  if (!first) return [];
  const other = rest.find((one) => has(one) !== has(first));
  if (!other) return [ok("data sets", has(first))];
  const found = `${first.target.name} has ${has(first)}, ${other.target.name} has ${has(other)}`;
  return [fault("data sets", found, "mount the same volume at the same path in supernet and discretization")];
}
