import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { Search, SearchServiceService, SearchState, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { service, type Methods } from "../../shared/rpc/handlers";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { follow } from "../search/follow";
import { identify, type ProcessId } from "../stack/processes";
import { withSearchService } from "./connection";

const state = mkdtempSync(join(tmpdir(), "lathe-connection-"));
const started: TestRpc[] = [];
beforeAll(() => mkdirSync(join(state, "run")));
afterAll(async () => {
  for (const rpc of started) await rpc.stop();
  rmSync(state, { recursive: true });
});

const missing = () => {
  throw new LatheError("NOT_FOUND", "search s-1 does not exist");
};

/** A search service that knows no search, but for these methods. */
async function serve(methods: Partial<Methods<typeof SearchServiceService>> = {}): Promise<string> {
  const none = Object.fromEntries(Object.keys(SearchServiceService).map((name) => [name, missing]));
  const rpc = await startRpc([
    service(SearchServiceService, { ...none, ...methods } as Methods<typeof SearchServiceService>),
  ]);
  started.push(rpc);
  return rpc.address;
}

/** Writes the files of a stack whose search service is at an address. */
function stackAt(grpc: string, owner: ProcessId = identify(process.pid)): void {
  writeFileSync(join(state, "run", "owner.json"), JSON.stringify(owner));
  writeFileSync(join(state, "run", "stack.json"), JSON.stringify({ pid: owner.pid, services: { search: { grpc } } }));
}

it("is refused where the stack of the folder was killed, whatever listens on its ports now", async () => {
  stackAt(await serve(), { pid: process.pid, started: "of another process" });
  const call = withSearchService({ state }, (api) => api.getSearch({ searchId: "s-1" }));
  await expect(call).rejects.toMatchObject({
    reason: "NO_STACK",
    message: expect.stringMatching(/stack\.json is of a stack that has ended/) as string,
  });
});

it("follows a search to the new address of its stack, whatever answers at the old one", async () => {
  const restarted = await serve({
    getSearch: () => ({ search: Search.fromPartial({ id: "s-1", state: SearchState.SEARCH_STATE_SUCCEEDED }) }),
    async *watchSearch() {
      yield await Promise.resolve(WatchSearchResponse.fromPartial({ sequence: 7 }));
    },
  });
  const other = await serve({
    async *watchSearch() {
      await Promise.resolve(stackAt(restarted));
      missing();
    },
  });
  stackAt(other);
  const lost: string[] = [];
  const seen: number[] = [];
  await withSearchService({ state }, async (api, signal) => {
    const onLost = ({ message }: LatheError) => lost.push(message);
    for await (const { sequence } of follow(api, "s-1", { signal, onLost })) seen.push(sequence);
  });
  expect(seen).toEqual([7]);
  expect(lost).toEqual([`the stack is no longer at ${other}, where this answered: search s-1 does not exist`]);
});
