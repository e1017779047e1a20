import { isUtf8 } from "node:buffer";
import { ScalarType, type DescEnum, type DescField, type DescMessage, type DescMethod } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { descriptors } from "../process/contract";
import { LatheError, type FieldViolation } from "../process/errors";
import { refusal } from "../space/validate";
import { clip, numberFault } from "../spec/bounds";
import { BOUNDS, CHECKED_AS_A_WHOLE, maxRequestBytes, type Bound } from "./bounds";

/** How a scalar is written, and read as a number; strings are read apart. */
interface Scalar {
  wire: WireType;
  read?: (reader: BinaryReader) => number;
}

const SCALARS: Partial<Record<ScalarType, Scalar>> = {
  [ScalarType.STRING]: { wire: WireType.LengthDelimited },
  [ScalarType.BOOL]: { wire: WireType.Varint, read: (reader) => Number(reader.bool()) },
  [ScalarType.INT32]: { wire: WireType.Varint, read: (reader) => reader.int32() },
  [ScalarType.UINT32]: { wire: WireType.Varint, read: (reader) => reader.uint32() },
  [ScalarType.UINT64]: { wire: WireType.Varint, read: (reader) => Number(reader.uint64()) },
  [ScalarType.DOUBLE]: { wire: WireType.Bit64, read: (reader) => reader.double() },
};

/** One field of a message as it is checked on the wire. */
interface Field {
  name: string;
  /** Place among the fields of its message. */
  index: number;
  repeated: boolean;
  map: boolean;
  /** Whether an absent number is 0. */
  implicit: boolean;
  scalar: Scalar;
  message: Message | undefined;
  /** The values of an enum, and its name. */
  known: { values: ReadonlySet<number>; name: string } | undefined;
  bound: Bound;
}

/** The fields of a message by number. */
type Message = Map<number, Field>;

/** Where a value stands in a request. */
interface Place {
  above: Place | undefined;
  field: Field;
  /** Index in a list. */
  entry: number | undefined;
}

/** Violations that are told; further ones are counted. */
const TOLD = 40;

function fieldOf(desc: DescField, index: number, whole: boolean): Field {
  const enumeration = desc.enum ?? undefined;
  const message = desc.fieldKind === "map" ? undefined : desc.message;
  const type = desc.fieldKind === "map" || message ? ScalarType.STRING : enumeration ? ScalarType.INT32 : desc.scalar;
  const scalar = type === undefined ? undefined : SCALARS[type];
  const { number: numbers, ...lengths } = BOUNDS[desc.parent.name]?.[desc.name] ?? {};
  const number = whole ? undefined : numbers;
  if (scalar === undefined || (desc.fieldKind === "map" && (desc.mapKey !== ScalarType.STRING || desc.scalar !== type)))
    throw new LatheError("INTERNAL", `${desc.toString()} has a type that no request is checked for`);
  return {
    name: desc.name,
    index,
    repeated: desc.fieldKind === "list" || desc.fieldKind === "map",
    map: desc.fieldKind === "map",
    implicit: desc.fieldKind === "scalar" && number !== undefined && !desc.proto.proto3Optional,
    scalar,
    message: message && compile(message, whole),
    known: whole || !enumeration ? undefined : valuesOf(enumeration),
    bound: { ...lengths, ...(number && { number }) },
  };
}

const valuesOf = ({ values, name }: DescEnum) => ({ values: new Set(values.map(({ number }) => number)), name });

function compile(desc: DescMessage, within = false): Message {
  const whole = within || CHECKED_AS_A_WHOLE.has(desc.name);
  return new Map(desc.fields.map((field, index) => [field.number, fieldOf(field, index, whole)]));
}

/** "space.stages[1].widths". Within a spec a path begins at the spec, as in the faults that resolve names. */
function pathOf(place: Place): string {
  const own = place.field.name + (place.entry === undefined ? "" : `[${place.entry}]`);
  if (place.above === undefined) return own;
  return place.above.above === undefined && place.above.field.name === "spec" ? own : `${pathOf(place.above)}.${own}`;
}

/** Checks the bytes of one request. Its memory does not grow with them. */
class Check {
  readonly violations: FieldViolation[] = [];
  count = 0;
  private readonly inAll = new Map<Field, number>();
  private at: Place | undefined;
  private readonly reader: BinaryReader;

  constructor(private readonly bytes: Uint8Array) {
    this.reader = new BinaryReader(bytes);
  }

  /** Checks a whole message. INVALID_ARGUMENT (UNREADABLE_REQUEST) where the bytes are none. */
  run(message: Message): void {
    try {
      this.message(message, this.reader.len, undefined);
    } catch (error) {
      // A fault of this check, not of the bytes.
      if (error instanceof TypeError) throw error;
      const field = this.at ? pathOf(this.at) : "(top level)";
      const description = `cannot be read at byte ${this.reader.pos}: ${(error as Error).message}`;
      throw refusal("UNREADABLE_REQUEST", "request", [{ field, description }]);
    }
  }

  private fault(place: Place, description: string, key = ""): void {
    this.count++;
    if (this.violations.length < TOLD) this.violations.push({ field: pathOf(place) + key, description });
  }

  private message(message: Message, end: number, above: Place | undefined): void {
    const { reader } = this;
    const begin = reader.pos;
    const counts = this.counts(message, end, above);
    const full = this.lengths(message, counts, above);
    reader.pos = begin;
    const seen = new Array<number>(message.size).fill(0);
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = message.get(tag >>> 3);
      if (field === undefined || full.has(field)) reader.skip(tag & 7, tag >>> 3);
      else {
        const place = { above, field, entry: field.repeated ? seen[field.index]!++ : undefined };
        this.at = place;
        this.value(field, tag & 7, place);
        this.at = above;
      }
    }
  }

  /** Entries of each field. Every value is of its field's type and ends within the message. */
  private counts(message: Message, end: number, above: Place | undefined): number[] {
    const { reader } = this;
    const counts = new Array<number>(message.size).fill(0);
    while (reader.pos < end) {
      const tag = reader.uint32();
      const [number, wire] = [tag >>> 3, tag & 7];
      if (number === 0) throw new Error("a field has the number 0");
      const field = message.get(number);
      if (field === undefined) reader.skip(wire, number);
      else {
        this.at = { above, field, entry: undefined };
        const packed = field.repeated && field.scalar.read && wire === WireType.LengthDelimited;
        if (packed) counts[field.index]! += this.packed(field.scalar.wire, end);
        else if (wire !== field.scalar.wire) throw new Error(`its wire type is ${wire}, must be ${field.scalar.wire}`);
        else {
          counts[field.index]!++;
          reader.skip(wire, number);
        }
        this.at = above;
      }
      if (reader.pos > end) throw new Error("it ends beyond its message");
    }
    return counts;
  }

  /** Passes over a packed list; returns its number of entries. */
  private packed(wire: WireType, end: number): number {
    const { reader } = this;
    const length = reader.uint32();
    const from = reader.pos;
    reader.pos += length;
    if (reader.pos > end) throw new Error("it ends beyond its message");
    if (wire === WireType.Bit64) {
      if (length % 8 !== 0) throw new Error(`a list of doubles has ${length} bytes`);
      return length / 8;
    }
    let count = 0;
    for (let i = from; i < reader.pos; i++) if (this.bytes[i]! < 0x80) count++;
    return count;
  }

  /** Tells the fields that hold too much or too little; returns those whose entries are not looked at. */
  private lengths(message: Message, counts: readonly number[], above: Place | undefined): ReadonlySet<Field> {
    const full = new Set<Field>();
    for (const field of message.values()) {
      const place = { above, field, entry: undefined };
      const count = counts[field.index]!;
      const { entries = Infinity, inAll = Infinity, number } = field.bound;
      const all = (this.inAll.get(field) ?? 0) + count;
      if (inAll !== Infinity) this.inAll.set(field, all);
      if (field.repeated && count > entries) {
        full.add(field);
        this.fault(place, `has ${count} entries, must have at most ${entries}`);
      } else if (all > inAll) {
        full.add(field);
        // Once: the same holds for every list after this one.
        if (all - count <= inAll)
          this.fault(place, `makes ${all} entries in all lists of ${field.name}, must be at most ${inAll}`);
      } else if (field.message && !field.repeated && count > 1) {
        full.add(field);
        this.fault(place, `occurs ${count} times, must occur once`);
      } else if (field.implicit && count === 0) {
        const description = numberFault(0, number!);
        if (description !== undefined) this.fault(place, description);
      }
    }
    return full;
  }

  private value(field: Field, wire: number, place: Place): void {
    const { reader } = this;
    if (wire !== WireType.LengthDelimited) {
      this.number(field, place);
      return;
    }
    const length = reader.uint32();
    const end = reader.pos + length;
    if (field.message) this.message(field.message, end, place);
    else if (field.map) this.entry(field, end, place);
    else if (field.scalar.read) {
      // A packed list. Its first fault stands for all.
      const { count } = this;
      for (place.entry = 0; reader.pos < end && this.count === count; place.entry++) this.number(field, place);
    } else {
      const fault = textFault(this.bytes.subarray(reader.pos, end), field.bound.characters);
      if (fault !== undefined) this.fault(place, fault);
    }
    reader.pos = end;
  }

  private number(field: Field, place: Place): void {
    const value = field.scalar.read!(this.reader);
    if (field.known && !field.known.values.has(value))
      this.fault(place, `is ${value}, must be a value of ${field.known.name}`);
    const description = field.bound.number && numberFault(value, field.bound.number);
    if (description !== undefined) this.fault(place, description);
  }

  /** An entry of a map: a message of the fields key and value. */
  private entry(field: Field, end: number, place: Place): void {
    const { reader } = this;
    const texts: Buffer[] = [];
    while (reader.pos < end) {
      const tag = reader.uint32();
      if ((tag & 7) !== WireType.LengthDelimited || tag >>> 3 > 2 || tag >>> 3 === 0)
        throw new Error("an entry of a map has a field other than key and value");
      texts[tag >>> 3] = Buffer.from(reader.bytes());
    }
    if (reader.pos > end) throw new Error("it ends beyond its message");
    const [key, value] = [texts[1] ?? Buffer.alloc(0), texts[2] ?? Buffer.alloc(0)];
    const at = { ...place, entry: undefined };
    const named = `["${clip(key.toString())}"]`;
    const inKey = textFault(key, field.bound.characters);
    const inValue = textFault(value, field.bound.characters);
    if (inKey !== undefined) this.fault(at, `${inKey} in its key`, named);
    if (inValue !== undefined) this.fault(at, inValue, named);
    // The object that holds the decoded map would take it for its prototype.
    if (key.toString() === "__proto__") this.fault(at, "has a reserved key, must have another", named);
  }
}

/** Describes the fault of the bytes of a string; undefined if it is UTF-8 and short enough. */
function textFault(bytes: Uint8Array, characters = Infinity): string | undefined {
  if (!isUtf8(bytes)) return "is not UTF-8";
  if (bytes.length <= characters) return undefined;
  // A character has at most 3 bytes per UTF-16 code unit.
  if (bytes.length > 3 * characters) return `has ${bytes.length} bytes, must have at most ${characters} characters`;
  const { length } = Buffer.from(bytes).toString();
  return length <= characters ? undefined : `has ${length} characters, must have at most ${characters}`;
}

function methodOf(path: string): DescMethod {
  const [, service = "", name] = path.split("/");
  const method = descriptors()
    .getService(service)
    ?.methods.find((one) => one.name === name);
  if (method === undefined) throw new LatheError("INTERNAL", `${path} is not in the contract`);
  return method;
}

/**
 * A function that decodes a request of a method. It checks the bytes first, so that memory and time are bounded however they were made.
 * RESOURCE_EXHAUSTED (REQUEST_TOO_LARGE) beyond the method's bytes; INVALID_ARGUMENT with each field that is out of its bounds
 * (INVALID_REQUEST), or with the place of bytes that are no such message (UNREADABLE_REQUEST).
 */
export function requestReader<T>(path: string, decode: (bytes: Buffer) => T): (bytes: Buffer) => T {
  let message: Message | undefined;
  const max = maxRequestBytes(path);
  return (bytes) => {
    if (bytes.length > max) {
      const text = `the request has ${bytes.length} bytes, ${path.split("/")[2]} takes at most ${max}`;
      throw new LatheError("RESOURCE_EXHAUSTED", text, { reason: "REQUEST_TOO_LARGE" });
    }
    // Here and not at the start: a client has services too, and reads no descriptors.
    message ??= compile(methodOf(path).input);
    const check = new Check(bytes);
    check.run(message);
    if (check.count > 0) throw refusal("INVALID_REQUEST", "request", check.violations, check.count);
    return decode(bytes);
  };
}
