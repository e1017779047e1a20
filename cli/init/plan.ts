import { existsSync } from "node:fs";
import { relative } from "node:path";
import { requireNone } from "../../shared/data/faults";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { folderClasses } from "../spec/dataFolder";
import { readText } from "../spec/specFlags";
import { NOTHING, ofListed, proposed, type Proposal } from "./classes";
import { found } from "./found";
import { divide, type Divided, type Division } from "./split";
import { storedIn, type Stored } from "./values";

/** What a user asks for. Paths are absolute. */
export interface InitRequest extends Division {
  /** The data folder. */
  readonly path: string;
  /** The spec to write. */
  readonly out: string;
  /** Whether existing files are replaced. */
  readonly force: boolean;
}

/** What a folder holds, and what its spec is to say. */
export interface InitPlan {
  /** What lies there, in a few words. */
  readonly what: string;
  readonly divided: Divided;
  readonly stored: Stored;
  readonly proposal: Proposal;
  readonly dataset: DatasetSpec;
  /** The lists to write, where the folder has no splits. */
  readonly lists: Lists | undefined;
}

interface Lists {
  readonly train: string;
  readonly validation: string;
}

/** Looks at a data folder and decides what its spec says; writes nothing. DATASET_INVALID says what stands in the way. */
export async function planned(
  { path, out, force, ...division }: InitRequest,
  progress: (done: number, of: number) => void,
): Promise<InitPlan> {
  const { kind: seen, what, pairs, fields } = await found(path);
  const beside = out.replace(/\.(ya?ml|json)$/, "");
  const lists = "train" in pairs ? undefined : { train: `${beside}.train.txt`, validation: `${beside}.validation.txt` };
  requireFree([out, ...Object.values(lists ?? {})], force);
  const divided = "train" in pairs ? { ...pairs, how: "as they lie" } : await divide(path, pairs, division);
  const stored = await storedIn([...divided.train, ...divided.validation], progress);
  requireNone(stored.faults);
  const kind = kindOf(seen, stored);
  // Other kinds have classes of their own.
  const proposal = kind === DatasetKind.DATASET_KIND_FOLDER ? ofFolder(path, stored) : NOTHING;
  const dataset = DatasetSpec.fromPartial({
    kind,
    path,
    ...(kind === DatasetKind.DATASET_KIND_FOLDER && fields),
    ...(lists && { trainList: relative(path, lists.train), validationList: relative(path, lists.validation) }),
    ...proposal.fields,
  });
  return { what, divided, stored, proposal, dataset, lists };
}

/** CamVid's labels have the values 0 to 11. Other sets with lists of its form are folders. */
function kindOf(seen: DatasetKind, { values, colored }: Stored): DatasetKind {
  if (seen !== DatasetKind.DATASET_KIND_CAMVID) return seen;
  const isCamvid = colored === 0 && values.every((count, value) => (value < CAMVID_VALUES ? count > 0 : count === 0));
  return isCamvid ? seen : DatasetKind.DATASET_KIND_FOLDER;
}

const CAMVID_VALUES = 12;

function ofFolder(path: string, stored: Stored): Proposal {
  const names = folderClasses(DatasetSpec.fromPartial({ path }), (list) => readText(list, "list"));
  return names ? ofListed(names, stored) : proposed(stored);
}

function requireFree(files: readonly string[], force: boolean): void {
  const taken = force ? [] : files.filter((file) => existsSync(file));
  if (taken.length === 0) return;
  throw new LatheError(
    "INVALID_ARGUMENT",
    `${taken.join(" and ")} exists already: give another file with -o, or --force`,
  );
}
