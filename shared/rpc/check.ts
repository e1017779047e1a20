import { isUtf8 } from "node:buffer";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { FieldViolation } from "../process/errors";
import { refusal } from "../space/validate";
import { clip, numberFault } from "../spec/bounds";
import type { Field, Message } from "./wire";

/** Where a value stands in a request. */
interface Place {
  above: Place | undefined;
  field: Field;
  /** Index in a list. */
  entry: number | undefined;
}

/** A message that is being checked. */
interface Level {
  message: Message;
  above: Place | undefined;
  /** Fields that are too long. Their entries are not looked at. */
  full: ReadonlySet<Field>;
  /** Entries so far, by field. */
  seen: number[];
}

/** Wire types, as numbers of a tag. */
const BIT64: number = WireType.Bit64;
const LENGTH_DELIMITED: number = WireType.LengthDelimited;

/** Violations that are told; further ones are counted. */
const TOLD = 40;

/** "space.stages[1].widths". Within a spec a path begins at the spec, as in the faults that resolve names. */
function pathOf(place: Place): string {
  const own = place.field.name + (place.entry === undefined ? "" : `[${place.entry}]`);
  if (place.above === undefined) return own;
  return place.above.above === undefined && place.above.field.name === "spec" ? own : `${pathOf(place.above)}.${own}`;
}

/**
 * Checks the bytes of a request against the bounds of its fields. Of each message it counts the entries of all fields before it looks at
 * one, and it keeps nothing of the values. Throws INVALID_ARGUMENT (UNREADABLE_REQUEST) where the bytes are no such message.
 */
export class Check {
  private readonly violations: FieldViolation[] = [];
  private count = 0;
  private readonly inAll = new Map<Field, number>();
  private readonly reader: BinaryReader;
  private readonly top: Level;
  /** The field in hand, and what is around it. */
  private hand: Omit<Place, "entry"> | undefined;
  /** Whether the request is refused whatever follows. */
  private over = false;

  constructor(
    private readonly bytes: Uint8Array,
    message: Message,
  ) {
    this.reader = new BinaryReader(bytes);
    this.top = this.readable(() => this.level(message, bytes.length, undefined));
  }

  get position(): number {
    return this.reader.pos;
  }

  /** Checks the next fields of the request until it has passed over this number of bytes. False where a fault has been found so far. */
  advance(bytes: number): boolean {
    const stop = Math.min(this.reader.pos + bytes, this.bytes.length);
    this.readable(() => {
      while (this.reader.pos < stop && !this.over) this.field(this.top);
    });
    if (this.over) this.refuse();
    return this.count === 0;
  }

  /** Throws INVALID_ARGUMENT (INVALID_REQUEST) with what is out of its bounds so far. */
  refuse(): void {
    if (this.count > 0) throw refusal("INVALID_REQUEST", "request", this.violations, this.count);
  }

  private readable<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      // A fault of this file, not of the bytes.
      if (error instanceof TypeError) throw error;
      const field = this.hand ? pathOf({ ...this.hand, entry: undefined }) : "(top level)";
      const description = `cannot be read at byte ${Math.min(this.reader.pos, this.bytes.length)}: ${(error as Error).message}`;
      throw refusal("UNREADABLE_REQUEST", "request", [{ field, description }]);
    }
  }

  private fault(place: Place, description: string, key = ""): void {
    this.count++;
    if (this.violations.length < TOLD) this.violations.push({ field: pathOf(place) + key, description });
  }

  /** Counts the entries of the message up to `end`, and returns to its beginning. */
  private level(message: Message, end: number, above: Place | undefined): Level {
    const { reader } = this;
    const begin = reader.pos;
    const counts = new Array<number>(message.size).fill(0);
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = message.get(tag >>> 3);
      if (tag >>> 3 === 0) throw new Error("a field has the number 0");
      if (field !== undefined) {
        // Most lists repeat one field.
        if (this.hand?.field !== field || this.hand.above !== above) this.hand = { above, field };
        counts[field.index]! += this.entries(field, tag & 7, end);
      } else this.pass(tag);
      if (reader.pos > end) throw new Error("it ends beyond its message");
    }
    reader.pos = begin;
    return { message, above, full: this.lengths(message, counts, above), seen: counts.fill(0) };
  }

  /** Passes over a value; the reader's own function also makes a view of it. */
  private pass(tag: number): void {
    if ((tag & 7) === LENGTH_DELIMITED) {
      const length = this.reader.uint32();
      this.reader.pos += length;
    } else this.reader.skip(tag & 7, tag >>> 3);
  }

  /** Passes over a value of a field; returns its number of entries, which a packed list may have many of. */
  private entries({ repeated, scalar }: Field, wire: number, end: number): number {
    const { reader } = this;
    if (wire === scalar.wire) {
      this.pass(wire);
      return 1;
    }
    if (!repeated || wire !== LENGTH_DELIMITED) throw new Error(`its wire type is ${wire}, must be ${scalar.wire}`);
    const length = reader.uint32();
    const from = reader.pos;
    reader.pos += length;
    if (reader.pos > end) throw new Error("it ends beyond its message");
    if (scalar.wire === BIT64) {
      if (length % 8 !== 0) throw new Error(`a list of doubles has ${length} bytes`);
      return length / 8;
    }
    // A decoder would read on behind the list, and take what follows for other fields than this check does.
    if (length > 0 && this.bytes[reader.pos - 1]! >= 0x80) throw new Error("its last number ends beyond its list");
    let count = 0;
    for (let at = from; at < reader.pos; at++) if (this.bytes[at]! < 0x80) count++;
    return count;
  }

  /** Tells the fields that have too many entries, and absent numbers that may not be 0; returns the former. */
  private lengths(message: Message, counts: readonly number[], above: Place | undefined): ReadonlySet<Field> {
    const full = new Set<Field>();
    for (const field of message.values()) {
      const count = counts[field.index]!;
      const { entries = Infinity, inAll = Infinity, number } = field.bound;
      const all = inAll === Infinity ? 0 : (this.inAll.get(field) ?? 0) + count;
      if (all > 0) this.inAll.set(field, all);
      const most = field.repeated ? entries : field.message ? 1 : Infinity;
      const unset = field.implicit && count === 0 ? numberFault(0, number!) : undefined;
      if (count <= most && all <= inAll && unset === undefined) continue;
      const place = { above, field, entry: undefined };
      if (unset !== undefined) {
        this.fault(place, unset);
        continue;
      }
      full.add(field);
      if (count > most) this.fault(place, `has ${count} entries, must have at most ${most}`);
      else {
        this.fault(place, `brings all lists of ${field.name} to ${all} entries, must be at most ${inAll}`);
        this.over = true;
      }
    }
    return full;
  }

  /** Checks one value. */
  private field({ message, above, full, seen }: Level): void {
    const tag = this.reader.uint32();
    const field = message.get(tag >>> 3);
    if (field === undefined || full.has(field)) return this.pass(tag);
    const place = { above, field, entry: field.repeated ? seen[field.index]!++ : undefined };
    this.hand = place;
    if ((tag & 7) !== LENGTH_DELIMITED) return this.number(field, place);
    const length = this.reader.uint32();
    const end = this.reader.pos + length;
    if (field.message) this.message(field.message, end, place);
    else if (field.map) this.entry(field, end, place);
    else if (field.scalar.read) this.list(field, end, place);
    else {
      const { bytes, characters } = field.bound;
      const fault =
        bytes === undefined
          ? textFault(this.bytes.subarray(this.reader.pos, end), characters)
          : length > bytes
            ? `has ${length} bytes, must have at most ${bytes}`
            : undefined;
      if (fault !== undefined) this.fault(place, fault);
    }
    this.reader.pos = end;
  }

  private message(message: Message, end: number, above: Place): void {
    const level = this.level(message, end, above);
    while (this.reader.pos < end && !this.over) this.field(level);
  }

  /** A packed list. Its first fault stands for all. */
  private list(field: Field, end: number, place: Place): void {
    const { count } = this;
    for (place.entry = 0; this.reader.pos < end && this.count === count; place.entry++) this.number(field, place);
  }

  private number({ scalar, enumeration, bound }: Field, place: Place): void {
    const value = scalar.read!(this.reader);
    if (enumeration && !enumeration.values.has(value))
      this.fault(place, `is ${value}, must be a value of ${enumeration.name}`);
    const description = bound.number && numberFault(value, bound.number);
    if (description !== undefined) this.fault(place, description);
  }

  /** An entry of a map: a message of the fields key and value, both strings. */
  private entry({ bound }: Field, end: number, { above, field }: Place): void {
    const texts: Uint8Array[] = [new Uint8Array(), new Uint8Array()];
    while (this.reader.pos < end) {
      const tag = this.reader.uint32();
      if (tag !== KEY && tag !== VALUE) throw new Error("an entry of a map has a field other than key and value");
      texts[tag === KEY ? 0 : 1] = this.reader.bytes();
    }
    if (this.reader.pos > end) throw new Error("it ends beyond its message");
    const place = { above, field, entry: undefined };
    const key = Buffer.from(texts[0]!.subarray(0, 256)).toString();
    const [inKey, inValue] = texts.map((bytes) => textFault(bytes, bound.characters));
    const at = `["${clip(key)}"]`;
    if (inKey !== undefined) this.fault(place, `has a key that ${inKey}`, at);
    if (inValue !== undefined) this.fault(place, inValue, at);
    // The object that holds the decoded map would take it for its prototype.
    if (key === "__proto__") this.fault(place, "has a reserved key, must have another", at);
  }
}

/** Tags of the fields of a map's entry. */
const KEY = (1 << 3) | LENGTH_DELIMITED;
const VALUE = (2 << 3) | LENGTH_DELIMITED;

/** Describes the fault of the bytes of a string; undefined if it is UTF-8 and short enough. */
function textFault(bytes: Uint8Array, characters = Infinity): string | undefined {
  if (!isUtf8(bytes)) return "is not UTF-8";
  if (bytes.length <= characters) return undefined;
  // A character has at most 3 bytes per UTF-16 code unit.
  if (bytes.length > 3 * characters) return `has ${bytes.length} bytes, must have at most ${characters} characters`;
  const { length } = Buffer.from(bytes).toString();
  return length <= characters ? undefined : `has ${length} characters, must have at most ${characters}`;
}
