import { ScalarType, type DescEnum, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { WireType, type BinaryReader } from "@bufbuild/protobuf/wire";
import { descriptors } from "../process/contract";
import { LatheError } from "../process/errors";
import { BOUNDS, CHECKED_AS_A_WHOLE, type Bound } from "./bounds";

/** How a scalar is written, and read as a number. Strings and bytes have no `read`. */
interface Scalar {
  wire: number;
  read?: (reader: BinaryReader) => number;
}

const SCALARS: Partial<Record<ScalarType, Scalar>> = {
  [ScalarType.STRING]: { wire: WireType.LengthDelimited },
  [ScalarType.BYTES]: { wire: WireType.LengthDelimited },
  [ScalarType.BOOL]: { wire: WireType.Varint, read: (reader) => Number(reader.bool()) },
  [ScalarType.INT32]: { wire: WireType.Varint, read: (reader) => reader.int32() },
  [ScalarType.UINT32]: { wire: WireType.Varint, read: (reader) => reader.uint32() },
  [ScalarType.UINT64]: { wire: WireType.Varint, read: (reader) => Number(reader.uint64()) },
  [ScalarType.DOUBLE]: { wire: WireType.Bit64, read: (reader) => reader.double() },
};

/** A field of a message as its bytes are checked. */
export interface Field {
  name: string;
  /** Place among the fields of its message. */
  index: number;
  repeated: boolean;
  map: boolean;
  /** Whether an absent number counts as 0. */
  implicit: boolean;
  scalar: Scalar;
  message: Message | undefined;
  /** Name and values of an enum. */
  enumeration: { name: string; values: ReadonlySet<number> } | undefined;
  bound: Bound;
}

/** The fields of a message by number. */
export type Message = ReadonlyMap<number, Field>;

/** The request of a method ("/lathe.v1.SearchService/GetSearch"), with the bounds of its fields. */
export function requestOf(path: string): Message {
  const [, service = "", name] = path.split("/");
  const method = descriptors()
    .getService(service)
    ?.methods.find((one) => one.name === name);
  if (method === undefined) throw new LatheError("INTERNAL", `${path} is not in the contract`);
  return messageOf(method.input, false);
}

/** `whole`: this message or one around it is checked as a whole. Then only lengths are checked here. */
function messageOf(desc: DescMessage, whole: boolean): Message {
  const within = whole || CHECKED_AS_A_WHOLE.has(desc.name);
  return new Map(desc.fields.map((field, index) => [field.number, fieldOf(field, index, within)]));
}

function fieldOf(desc: DescField, index: number, whole: boolean): Field {
  const map = desc.fieldKind === "map";
  const message = map ? undefined : desc.message;
  const enumeration = whole || map ? undefined : desc.enum;
  const type = scalarOf(desc);
  const scalar = type && SCALARS[type];
  if (scalar === undefined) throw new LatheError("INTERNAL", `${desc.toString()} is of a type that no request has`);
  const { number, ...lengths } = BOUNDS[desc.parent.name]?.[desc.name] ?? {};
  const checked = whole ? undefined : number;
  return {
    name: desc.name,
    index,
    repeated: map || desc.fieldKind === "list",
    map,
    implicit: checked !== undefined && desc.fieldKind === "scalar" && !desc.proto.proto3Optional,
    scalar,
    message: message && messageOf(message, whole),
    enumeration: enumeration && valuesOf(enumeration),
    bound: { ...lengths, ...(checked && { number: checked }) },
  };
}

/** The type of a field as it is written: a message as a string is, an enum as its number. A map must be one of strings. */
function scalarOf(desc: DescField): ScalarType | undefined {
  if (desc.fieldKind === "map")
    return desc.mapKey === ScalarType.STRING && desc.scalar === ScalarType.STRING ? ScalarType.STRING : undefined;
  if (desc.message) return ScalarType.STRING;
  return desc.enum ? ScalarType.INT32 : desc.scalar;
}

const valuesOf = ({ name, values }: DescEnum) => ({ name, values: new Set(values.map(({ number }) => number)) });
