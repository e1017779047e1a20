import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { LatheError } from "../process/errors";
import { SearchServiceService } from "../proto/lathe/v1/search";
import { SimulateScheduleRequest, ShrinkingServiceService, type DecideRequest } from "../proto/lathe/v1/shrinking";
import { initialArchitecture } from "../space/groups";
import { randomSpace, uniform } from "../testing/spaces";
import { startRpc, type TestRpc } from "../testing/rpc";
import { fromServiceError } from "./errors";
import { service, type Methods } from "./handlers";
import { requestReader } from "./request";

const DECIDE = "/lathe.v1.ShrinkingService/Decide";
const SIMULATE = "/lathe.v1.ShrinkingService/SimulateSchedule";
const LIST = "/lathe.v1.SearchService/ListSearches";
const WATCH = "/lathe.v1.SearchService/WatchSearch";
const CANCEL = "/lathe.v1.SearchService/CancelSearch";
const START = "/lathe.v1.SearchService/StartSearch";
const HEALTH = "/grpc.health.v1.Health/Check";

/** The requests that reached their method. */
const arrived: unknown[] = [];
let rpc: TestRpc;
let client: Client;
beforeAll(async () => {
  const taken = (request: unknown) => {
    arrived.push(request);
    throw new LatheError("ALREADY_EXISTS", "taken");
  };
  const all = <D extends object>(definition: D) =>
    Object.fromEntries(Object.keys(definition).map((name) => [name, taken])) as unknown;
  rpc = await startRpc([
    service(ShrinkingServiceService, all(ShrinkingServiceService) as Methods<typeof ShrinkingServiceService>),
    service(SearchServiceService, all(SearchServiceService) as Methods<typeof SearchServiceService>),
  ]);
  client = new Client(rpc.address, credentials.createInsecure());
});
afterAll(async () => {
  client?.close();
  await rpc?.stop();
});

/** The answer to the bytes of a request. ALREADY_EXISTS: they have reached the method. */
async function answer(path: string, bytes: Uint8Array): Promise<LatheError> {
  const same = (buffer: Buffer) => buffer;
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest(path, same, same, Buffer.from(bytes), resolve);
  });
  if (error === null) throw new Error("no failure");
  return fromServiceError(error, { name: "test", address: rpc.address, method: path });
}
const faultsOf = async (path: string, bytes: Uint8Array) => {
  const { code, reason, violations } = await answer(path, bytes);
  return [code, reason, ...violations.map(({ field, description }) => `${field} ${description}`)];
};

const written = (write: (writer: BinaryWriter) => void) => {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
};
const within = (field: number, bytes: Uint8Array) =>
  written((writer) => writer.tag(field, WireType.LengthDelimited).bytes(bytes));
const integer = (field: number, value: number) => written((writer) => writer.tag(field, WireType.Varint).int32(value));
const text = (field: number, value: string) => within(field, Buffer.from(value));
const joined = (...parts: Uint8Array[]) => Buffer.concat(parts);
/** Fields epoch and epochs of DecideRequest. */
const epochs = joined(integer(4, 1), integer(5, 3));
const space = (bytes: Uint8Array) => joined(within(1, bytes), epochs);
const architecture = (bytes: Uint8Array) => joined(within(2, bytes), epochs);
const group = (bytes: Uint8Array) => architecture(within(1, bytes));

describe("a request out of its bounds is refused before it is decoded", () => {
  it.each<[string, string, Uint8Array, string[]]>([
    [
      "a packed list",
      DECIDE,
      space(within(6, new Uint8Array(1_000_000))),
      ["space.dilations has 1000000 entries, must have at most 32"],
    ],
    [
      "a list that is not packed",
      DECIDE,
      space(Buffer.concat(Array.from({ length: 33 }, () => integer(6, 1)))),
      ["space.dilations has 33 entries, must have at most 32"],
    ],
    [
      "a list of messages",
      DECIDE,
      architecture(Buffer.concat(new Array<Uint8Array>(400_000).fill(within(1, new Uint8Array())))),
      ["architecture.groups has 400000 entries, must have at most 10000"],
    ],
    [
      "a list of doubles",
      DECIDE,
      group(within(3, new Uint8Array(800_000))),
      ["architecture.groups[0].alphas has 100000 entries, must have at most 64"],
    ],
    [
      "lists in lists",
      SIMULATE,
      Buffer.concat(
        new Array<Uint8Array>(16).fill(
          within(3, Buffer.concat(new Array<Uint8Array>(9999).fill(within(1, new Uint8Array())))),
        ),
      ),
      ["epochs[15].groups brings all lists of groups to 159984 entries, must be at most 150000"],
    ],
    [
      "numbers",
      DECIDE,
      joined(
        within(2, within(1, within(3, new Uint8Array([0, 0, 0, 0, 0, 0, 0xf8, 0x7f])))),
        integer(4, 20001),
        integer(5, -1),
      ),
      [
        "architecture.groups[0].alphas[0] is NaN, must be a number between -1000000 and 1000000",
        "epoch is 20001, must be an integer between 1 and 20000",
        "epochs is -1, must be an integer between 1 and 10000",
      ],
    ],
    [
      "numbers that are not set",
      DECIDE,
      new Uint8Array(),
      ["epoch is 0, must be an integer between 1 and 20000", "epochs is 0, must be an integer between 1 and 10000"],
    ],
    ["an enum", LIST, integer(3, 99), ["states[0] is 99, must be a value of SearchState"]],
    [
      "a sequence that no number holds exactly",
      WATCH,
      written((writer) => writer.tag(2, WireType.Varint).uint64(2n ** 53n)),
      ["from_sequence is 9007199254740992, must be an integer between 0 and 9007199254740991"],
    ],
    ["a text", CANCEL, text(2, "ß".repeat(501)), ["reason has 501 characters, must have at most 500"]],
    ["a long text", CANCEL, text(2, "x".repeat(9000)), ["reason has 9000 bytes, must have at most 500 characters"]],
    ["a text that is no UTF-8", CANCEL, within(2, new Uint8Array([0x61, 0xff])), ["reason is not UTF-8"]],
    [
      "a map",
      LIST,
      Buffer.concat(Array.from({ length: 33 }, (_, n) => within(4, text(1, `k${n}`)))),
      ["labels has 33 entries, must have at most 32"],
    ],
    [
      "keys and values of a map",
      LIST,
      within(4, joined(text(1, "k".repeat(64)), text(2, "v".repeat(70)))),
      [
        `labels["${"k".repeat(63)}..."] has a key that has 64 characters, must have at most 63`,
        `labels["${"k".repeat(63)}..."] has 70 characters, must have at most 63`,
      ],
    ],
    [
      "a key that no object holds",
      LIST,
      within(4, text(1, "__proto__")),
      ['labels["__proto__"] has a reserved key, must have another'],
    ],
    [
      "a key of a spec, whose paths begin at the spec",
      START,
      within(1, within(11, text(1, "__proto__"))),
      ['labels["__proto__"] has a reserved key, must have another'],
    ],
    // The decoder would drop all but the last.
    [
      "a message twice",
      DECIDE,
      joined(space(new Uint8Array()), within(1, new Uint8Array())),
      ["space has 2 entries, must have at most 1"],
    ],
  ])("%s", async (_, path, bytes, expected) => {
    expect(await faultsOf(path, bytes)).toEqual(["INVALID_ARGUMENT", "INVALID_REQUEST", ...expected]);
  });

  it("names 40 of many faults and counts them all", async () => {
    const faulty = Buffer.concat(new Array<Uint8Array>(1000).fill(within(1, text(1, "g".repeat(65)))));
    const error = await answer(DECIDE, architecture(faulty));
    expect(error.violations.length).toBeLessThanOrEqual(40);
    expect(error.message).toMatch(/^request has 1000 faults: .* and 984 more$/s);
  });

  it("says what a method takes where a request has more bytes", async () => {
    const bytes = within(99, new Uint8Array(1_100_000));
    expect(await answer(DECIDE, bytes)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "REQUEST_TOO_LARGE",
      message: `the request has ${bytes.length} bytes, Decide takes at most 1048576`,
    });
    // grpc-js receives no more than the largest request of the server.
    expect(await answer(SIMULATE, new Uint8Array(9_000_000))).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(await answer(HEALTH, text(1, "x".repeat(70_000)))).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });
});

describe("bytes that are no request are INVALID_ARGUMENT with their place", () => {
  it.each<[string, Uint8Array, RegExp]>([
    ["cut within a number", new Uint8Array([0x20, 0x80]), /^epoch cannot be read at byte 2: /],
    [
      "cut within a message",
      within(1, new Uint8Array(20)).subarray(0, 9),
      /^space cannot be read at byte 9: it ends beyond its message/,
    ],
    [
      "a message that ends beyond the one around it",
      within(2, new Uint8Array([0x0a, 9])),
      /^architecture\.groups cannot be read/,
    ],
    [
      "a number of another type",
      written((writer) => writer.tag(4, WireType.Bit32).fixed32(1)),
      /^epoch cannot be read at byte 1: its wire type is 5, must be 0/,
    ],
    [
      "doubles cut short",
      within(2, within(1, within(3, new Uint8Array(12)))),
      /^architecture\.groups\[0\]\.alphas cannot be read.*12 bytes/,
    ],
    [
      "a list whose last number ends beyond it",
      joined(within(1, within(6, new Uint8Array([1, 0xa6]))), within(2, new Uint8Array())),
      /^space\.dilations cannot be read at byte \d+: its last number ends beyond its list/,
    ],
    ["field number 0", new Uint8Array([0x02, 0]), /^\(top level\) cannot be read at byte 1: a field has the number 0/],
    ["an end of a group", new Uint8Array([0x9c, 0x06]), /^\(top level\) cannot be read/],
    ["groups in groups", new Uint8Array(200_000).fill(0x9b), /^\(top level\) cannot be read/],
  ])("%s", async (_, bytes, expected) => {
    const { code, reason, violations } = await answer(DECIDE, bytes);
    expect({ code, reason }).toEqual({ code: "INVALID_ARGUMENT", reason: "UNREADABLE_REQUEST" });
    expect(violations.map(({ field, description }) => `${field} ${description}`)).toEqual([
      expect.stringMatching(expected),
    ]);
  });

  it("or can be decoded, where a message has a few other bytes", async () => {
    const random = uniform(4);
    const any = randomSpace(random);
    const whole = SimulateScheduleRequest.encode({ space: any, policy: undefined, epochs: [initialArchitecture(any)] });
    const bytes = whole.finish();
    const read = requestReader(SIMULATE, (part) => SimulateScheduleRequest.decode(part));
    let [accepted, refused] = [0, 0];
    for (let run = 0; run < 5000; run++) {
      const changed = Buffer.from(bytes);
      // Most of a message are lists of alphas; its first bytes are those of the space.
      for (let at = 0; at <= run % 3; at++)
        changed[Math.floor(random() * Math.min(changed.length, 80))] = Math.floor(random() * 256);
      const fault = await read(changed).then(
        () => undefined,
        (error: unknown) => LatheError.from(error),
      );
      if (fault) expect(fault.code).toBe("INVALID_ARGUMENT");
      if (fault) refused++;
      else accepted++;
    }
    expect(Math.min(accepted, refused)).toBeGreaterThan(100);
  });

  it("whatever they are", async () => {
    const random = uniform(3);
    for (let run = 0; run < 300; run++) {
      const bytes = Uint8Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256));
      const { code } = await answer([DECIDE, SIMULATE, LIST, START][run % 4]!, bytes);
      expect(["INVALID_ARGUMENT", "ALREADY_EXISTS"]).toContain(code);
    }
  });
});

describe("a request within its bounds", () => {
  it("may have fields that this version does not know", async () => {
    arrived.length = 0;
    expect((await answer(DECIDE, joined(epochs, text(99, "new"), integer(98, 1)))).code).toBe("ALREADY_EXISTS");
    expect(arrived as DecideRequest[]).toMatchObject([{ epoch: 1, epochs: 3 }]);
  });

  it("is the same whether it is read at once or in steps", async () => {
    const any = randomSpace(uniform(5));
    const request = {
      space: any,
      policy: undefined,
      epochs: Array.from({ length: 400 }, () => initialArchitecture(any)),
    };
    const bytes = SimulateScheduleRequest.encode(request).finish();
    expect(bytes.length).toBeGreaterThan(100_000);
    arrived.length = 0;
    expect((await answer(SIMULATE, bytes)).code).toBe("ALREADY_EXISTS");
    expect(arrived).toEqual([SimulateScheduleRequest.decode(bytes)]);
    let turns = 0;
    let reading = true;
    const count = () => {
      turns++;
      if (reading) setImmediate(count);
    };
    count();
    await requestReader(SIMULATE, (part) => SimulateScheduleRequest.decode(part))(Buffer.from(bytes));
    reading = false;
    expect(turns).toBeGreaterThan(bytes.length / 40_000);
  });
});
