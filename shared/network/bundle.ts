import { LatheError } from "../process/errors";

/** Named flat vectors with a JSON header. Checkpoints and files of weights are bundles. */
interface Bundle<Header> {
  header: Header;
  arrays: Record<string, Float32Array>;
}

const MAGIC = 0x4854414c; // "LATH", little-endian
const PREFIX = 8;

/** Encodes a bundle, little-endian: magic u32, header length u32, header JSON padded to 4 bytes, then the vectors as float32. */
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

/** Decodes a bundle. `what` names the bytes in errors (INVALID_ARGUMENT, reason BUNDLE_CORRUPT). */
export function decodeBundle<Header>(bytes: Uint8Array, what: string): Bundle<Header> {
  const corrupt = (why: string, cause?: unknown) =>
    new LatheError("INVALID_ARGUMENT", `${what} is not a bundle of weights: ${why}`, {
      reason: "BUNDLE_CORRUPT",
      cause,
    });
  if (bytes.length < PREFIX) throw corrupt(`it has ${bytes.length} bytes, must have at least ${PREFIX}`);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (words.getUint32(0, true) !== MAGIC) throw corrupt("its first four bytes are not LATH");
  const length = words.getUint32(4, true);
  if (PREFIX + length > bytes.length) throw corrupt(`its header of ${length} bytes runs past ${bytes.length} bytes`);
  let parsed: { header: Header; arrays: [string, number][] };
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX, PREFIX + length))) as typeof parsed;
  } catch (cause) {
    throw corrupt("its header is not JSON", cause);
  }
  let at = PREFIX + Math.ceil(length / 4) * 4;
  const arrays: Record<string, Float32Array> = {};
  for (const [name, size] of parsed.arrays) {
    if (at + 4 * size > bytes.length) throw corrupt(`"${name}" of ${size} values runs past ${bytes.length} bytes`);
    // Copied, so that the vector is aligned and the bytes can be freed. Buffer.slice would return a view.
    const values = new Float32Array(size);
    new Uint8Array(values.buffer).set(bytes.subarray(at, at + 4 * size));
    arrays[name] = values;
    at += 4 * size;
  }
  if (at !== bytes.length) throw corrupt(`it has ${bytes.length - at} bytes behind its last vector`);
  return { header: parsed.header, arrays };
}
