import { confine } from "./confinement";
import type { CacheFolder } from "./loading/decodedFolder";

/** How a process reads data sets. */
export interface DataAccess {
  /** The only folders below which it opens their files (LATHE_DATA_FOLDER); undefined: any. */
  readonly folders?: readonly string[] | undefined;
  /** Where it keeps decoded files for later processes (LATHE_DATA_CACHE); undefined: nowhere. */
  readonly cache?: CacheFolder | undefined;
}

let cache: CacheFolder | undefined;

/** Sets how this process reads data sets. Those that it opens from now on are read like that. */
export function setDataAccess(access: DataAccess = {}): void {
  confine(access.folders);
  cache = access.cache;
}

/** The folder of decoded files of setDataAccess. */
export const decodedCache = (): CacheFolder | undefined => cache;
