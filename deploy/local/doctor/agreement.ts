import { fault, ok, warning, type Finding } from "./finding";
import type { About } from "./service";

/** What has to be the same, or to fit, over the services that answered; `version`: of this command. */
export function judgeAgreement(abouts: ReadonlyMap<string, About>, version: string): Finding[] {
  if (abouts.size === 0) return [];
  return [versions(abouts, version), ...engines(abouts), ...dataFolders(abouts)];
}

function versions(abouts: ReadonlyMap<string, About>, version: string): Finding {
  const other = [...abouts].filter(([, about]) => about.version !== version);
  if (other.length === 0) return ok("versions", `all are ${version}`);
  const found = other.map(([name, about]) => `${name} is ${about.version}`).join(", ");
  const differ = new Set([...abouts.values()].map((about) => about.version)).size > 1;
  return differ
    ? fault("versions", `${found}; this command is ${version}`, "roll the services out to one version")
    : warning("versions", `${found}; this command is ${version}`, "use the command of that version");
}

function engines(abouts: ReadonlyMap<string, About>): Finding[] {
  return [...abouts].flatMap(([name, { engine }]) =>
    engine ? [ok(name, `computes on ${engine.engine}/${engine.provider} in ${engine.precision}`)] : [],
  );
}

function dataFolders(abouts: ReadonlyMap<string, About>): Finding[] {
  const told = [...abouts].flatMap(([name, { dataFolder }]) => (dataFolder?.dataSets ? [{ name, ...dataFolder }] : []));
  const [first, ...rest] = told;
  if (!first) {
    const mend = "set LATHE_DATA_FOLDER (dataset.claimName in the chart) to search on data of your own";
    return [
      warning("data sets", "no folder is mounted: only generated scenes (kind streets) can be searched on", mend),
    ];
  }
  const same = (one: typeof first) =>
    JSON.stringify([one.path, one.dataSets]) === JSON.stringify([first.path, first.dataSets]);
  const other = rest.find((one) => !same(one));
  const list = ({ name, path, dataSets = [] }: typeof first) =>
    `${name} has ${dataSets.join(", ") || "none"} in ${path}`;
  if (other)
    return [
      fault(
        "data sets",
        `${list(first)}, ${list(other)}`,
        "mount the same volume at the same path in supernet and discretization",
      ),
    ];
  return [ok("data sets", `${first.dataSets?.join(", ") || "none"} in ${first.path}`)];
}
