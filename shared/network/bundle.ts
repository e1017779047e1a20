import { LatheError } from "../process/errors";

/** Named flat vectors with a JSON header, as one array of bytes: what a checkpoint and a file of weights are. */
interface Bundle<Header> {
  header: Header;
  arrays: Record<string, Float32Array>;
}

const MAGIC = 0x4854414c; // "LATH", little-endian
const PREFIX = 8;

/** magic u32, header length u32, header JSON padded to 4 bytes, then the vectors as float32, all little-endian. */
export function encodeBundle<Header>({ header, arrays }: Bundle<Header>): Uint8Array {
  const names = Object.keys(arrays);
  const text = JSON.stringify({ header, arrays: names.map((name) => [name, arrays[name]?.length ?? 0]) });
  const json = new TextEncoder().encode(text);
  const start = PREFIX + Math.ceil(json.length / 4) * 4;
  const total = names.reduce((sum, name) => sum + (arrays[name]?.length ?? 0), 0);
  const bytes = new Uint8Array(start + 4 * total);
  const words = new DataView(bytes.buffer);
  words.setUint32(0, MAGIC, true);
  words.setUint32(4, json.length, true);
  bytes.set(json, PREFIX);
  let at = start;
  for (const name of names) {
    const values = arrays[name] ?? new Float32Array();
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return bytes;
}

/** The reverse of encodeBundle; `what` names the bytes in errors (INVALID_ARGUMENT, reason BUNDLE_CORRUPT). */
export function decodeBundle<Header>(bytes: Uint8Array, what: string): Bundle<Header> {
  const corrupt = (why: string) =>
    new LatheError("INVALID_ARGUMENT", `${what} is not a bundle of weights: ${why}`, { reason: "BUNDLE_CORRUPT" });
  if (bytes.length < PREFIX) throw corrupt(`${bytes.length} bytes, at least ${PREFIX} wanted`);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (words.getUint32(0, true) !== MAGIC) throw corrupt("its first four bytes are not LATH");
  const length = words.getUint32(4, true);
  if (PREFIX + length > bytes.length) throw corrupt(`header of ${length} bytes in ${bytes.length}`);
  let parsed: { header: Header; arrays: [string, number][] };
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX, PREFIX + length))) as typeof parsed;
  } catch (cause) {
    throw new LatheError("INVALID_ARGUMENT", `${what} is not a bundle of weights: its header is no JSON`, {
      reason: "BUNDLE_CORRUPT",
      cause,
    });
  }
  let at = PREFIX + Math.ceil(length / 4) * 4;
  const arrays: Record<string, Float32Array> = {};
  for (const [name, size] of parsed.arrays) {
    if (at + 4 * size > bytes.length) throw corrupt(`"${name}" of ${size} values runs past ${bytes.length} bytes`);
    // Copied, so that the vector is aligned and the bytes can go; not by slice, which of a Buffer is a view.
    const values = new Float32Array(size);
    new Uint8Array(values.buffer).set(bytes.subarray(at, at + 4 * size));
    arrays[name] = values;
    at += 4 * size;
  }
  if (at !== bytes.length) throw corrupt(`${bytes.length - at} bytes too many`);
  return { header: parsed.header, arrays };
}
