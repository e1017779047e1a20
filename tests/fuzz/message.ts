import { fromBinary, ScalarType, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { reflect, type ReflectList, type ReflectMap, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export type Key = number | bigint | boolean | string;
export type Value = Key | Uint8Array | Message;

/** One occurrence of a field: a value, an entry of a list, or an entry of a map with its key. */
export interface Entry {
  field: DescField;
  key?: Key;
  value: Value;
}

/**
 * A message as the list of its fields on the wire. In contrast to a decoded message it can hold a field twice, entries of one list apart
 * from each other, enum values that do not exist, and the map key "__proto__".
 */
export interface Message {
  type: DescMessage;
  entries: Entry[];
}

// Bytes have a method of the name "entries".
export const isMessage = (value: Value): value is Message => typeof value === "object" && !ArrayBuffer.isView(value);

/** The message that bytes hold. */
export function decode(type: DescMessage, bytes: Uint8Array): Message {
  return fromReflect(reflect(type, fromBinary(type, bytes)));
}

function fromReflect(message: ReflectMessage): Message {
  const single = (value: unknown): Value =>
    typeof value === "object" && value !== null && "desc" in value
      ? fromReflect(value as ReflectMessage)
      : (value as Value);
  const entries = message.fields
    .filter((field) => message.isSet(field))
    .flatMap((field): Entry[] => {
      const value: unknown = message.get(field);
      if (field.fieldKind === "list") return [...(value as ReflectList)].map((one) => ({ field, value: single(one) }));
      if (field.fieldKind === "map")
        return [...(value as ReflectMap)].map(([key, one]) => ({ field, key: key as Key, value: single(one) }));
      return [{ field, value: single(value) }];
    });
  return { type: message.desc, entries };
}

interface Wire {
  wire: WireType;
  write: (writer: BinaryWriter, value: never) => unknown;
}

const VARINT = WireType.Varint;
const SCALARS: Partial<Record<ScalarType, Wire>> = {
  [ScalarType.DOUBLE]: { wire: WireType.Bit64, write: (writer, value: number) => writer.double(value) },
  [ScalarType.INT32]: { wire: VARINT, write: (writer, value: number) => writer.int32(value) },
  [ScalarType.UINT32]: { wire: VARINT, write: (writer, value: number) => writer.uint32(value) },
  [ScalarType.INT64]: { wire: VARINT, write: (writer, value: bigint) => writer.int64(value) },
  [ScalarType.UINT64]: { wire: VARINT, write: (writer, value: bigint) => writer.uint64(value) },
  [ScalarType.BOOL]: { wire: VARINT, write: (writer, value: boolean) => writer.bool(value) },
  [ScalarType.STRING]: { wire: WireType.LengthDelimited, write: (writer, value: string) => writer.string(value) },
  [ScalarType.BYTES]: { wire: WireType.LengthDelimited, write: (writer, value: Uint8Array) => writer.bytes(value) },
};
const ENUM: Wire = { wire: VARINT, write: (writer, value: number) => writer.int32(value) };
const MESSAGE: Wire = {
  wire: WireType.LengthDelimited,
  write: (writer, value: Message) => writer.bytes(encode(value)),
};

function scalar(type: ScalarType): Wire {
  const found = SCALARS[type];
  if (!found) throw new Error(`the contract has a field of type ${ScalarType[type]}, which the fuzzer cannot write`);
  return found;
}

const wireOf = (field: DescField): Wire =>
  field.message ? MESSAGE : field.scalar === undefined ? ENUM : scalar(field.scalar);

/** The bytes of a message, its fields in their order. Numbers of a list that follow each other are packed; a single one is not. */
export function encode({ entries }: Message): Uint8Array {
  const writer = new BinaryWriter();
  for (let at = 0; at < entries.length; at++) {
    const { field, key, value } = entries[at]!;
    const { wire, write } = wireOf(field);
    if (field.fieldKind === "map") {
      writer.tag(field.number, WireType.LengthDelimited).fork();
      const ofKey = scalar(field.mapKey);
      ofKey.write(writer.tag(1, ofKey.wire), key as never);
      write(writer.tag(2, wire), value as never);
      writer.join();
      continue;
    }
    let run = at + 1;
    while (run < entries.length && entries[run]!.field === field) run++;
    if (field.fieldKind === "list" && wire !== WireType.LengthDelimited && run - at > 1) {
      writer.tag(field.number, WireType.LengthDelimited).fork();
      for (; at < run; at++) write(writer, entries[at]!.value as never);
      writer.join();
      at--;
    } else write(writer.tag(field.number, wire), value as never);
  }
  return writer.finish();
}
