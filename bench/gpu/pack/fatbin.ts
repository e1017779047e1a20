import { LatheError } from "../../../shared/process/errors";

/** The section of a library that holds the code of GPUs: a sequence of fat binaries, padded to 8 bytes. */
const SECTION = ".nv_fatbin";
const MAGIC = 0xba55ed50;
const ALIGNMENT = 8;

/** The code of one GPU architecture within a fat binary. */
interface Code {
  /** 90 for compute capability 9.0. */
  architecture: number;
  start: number;
  end: number;
}

/**
 * Sets the code of all GPU architectures but one to zero in a library (64-bit ELF, little-endian), which then packs small. The library keeps
 * its size, and a GPU of that architecture loads the same code as before. Returns the bytes of code kept and zeroed. FAILED_PRECONDITION
 * where the library has no code for the architecture.
 */
export function keepArchitecture(library: Buffer, architecture: number): { kept: number; zeroed: number } {
  const codes = [...codesOf(library)];
  const known = [...new Set(codes.map((code) => code.architecture))].sort((a, b) => a - b);
  if (!known.includes(architecture))
    throw new LatheError(
      "FAILED_PRECONDITION",
      `the library has no code for GPU architecture ${architecture}, it has ${known.join(", ") || "none"}`,
    );
  const bytes = { kept: 0, zeroed: 0 };
  for (const code of codes) {
    const keep = code.architecture === architecture;
    if (!keep) library.fill(0, code.start, code.end);
    bytes[keep ? "kept" : "zeroed"] += code.end - code.start;
  }
  return bytes;
}

function* codesOf(library: Buffer): Generator<Code> {
  const { start, end } = sectionOf(library);
  let at = start;
  while (at + 16 <= end) {
    if (library.readUInt32LE(at) !== MAGIC) {
      at += ALIGNMENT;
      continue;
    }
    // Container: magic, u16 version, u16 bytes of this header, u64 bytes of what follows it.
    let entry = at + library.readUInt16LE(at + 6);
    const stop = entry + Number(library.readBigUInt64LE(at + 8));
    while (entry < stop) {
      // Entry: u16 kind, u16 version, u32 bytes of this header, u64 bytes of code; the architecture is at 28.
      const code = entry + library.readUInt32LE(entry + 4);
      const next = code + Number(library.readBigUInt64LE(entry + 8));
      if (code === entry || next > end)
        throw new LatheError("FAILED_PRECONDITION", `the entry at ${entry} of ${SECTION} exceeds the section`);
      yield { architecture: library.readUInt32LE(entry + 28), start: code, end: next };
      entry = next;
    }
    at = stop;
  }
}

function sectionOf(library: Buffer): { start: number; end: number } {
  if (library.toString("latin1", 0, 6) !== "\x7fELF\x02\x01")
    throw new LatheError("FAILED_PRECONDITION", "the library is no 64-bit little-endian ELF file");
  const table = Number(library.readBigUInt64LE(0x28));
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => library.readUInt16LE(at)) as [number, number, number];
  // Section header: u32 offset of the name; the section's offset is at 24, its bytes at 32.
  const header = (index: number) => library.subarray(table + index * size, table + (index + 1) * size);
  const offset = (index: number) => Number(header(index).readBigUInt64LE(24));
  for (let index = 0; index < count; index++) {
    const name = offset(names) + header(index).readUInt32LE(0);
    if (library.toString("latin1", name, library.indexOf(0, name)) !== SECTION) continue;
    return { start: offset(index), end: offset(index) + Number(header(index).readBigUInt64LE(32)) };
  }
  throw new LatheError("FAILED_PRECONDITION", `the library has no section ${SECTION}`);
}
