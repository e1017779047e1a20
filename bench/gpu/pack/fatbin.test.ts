import { keepArchitecture } from "./fatbin";

const HEADER = 64;

/** A fat binary with code for some architectures; each code is a run of one byte. */
function fatBinary(...codes: [architecture: number, byte: number, length: number][]): Buffer {
  const entries = codes.map(([architecture, byte, length]) => {
    const entry = Buffer.alloc(HEADER + length, byte);
    entry.fill(0, 0, HEADER);
    entry.writeUInt16LE(2, 0);
    entry.writeUInt32LE(HEADER, 4);
    entry.writeBigUInt64LE(BigInt(length), 8);
    entry.writeUInt32LE(architecture, 28);
    return entry;
  });
  const head = Buffer.alloc(16);
  head.writeUInt32LE(0xba55ed50, 0);
  head.writeUInt16LE(16, 6);
  head.writeBigUInt64LE(BigInt(Buffer.concat(entries).length), 8);
  return Buffer.concat([head, ...entries]);
}

/** An ELF file with a section of names and one more. */
function library(name: string, content: Buffer): Buffer {
  const names = Buffer.from(`\0.names\0${name}\0`);
  const start = 0x40;
  const table = start + names.length + content.length;
  const head = Buffer.alloc(start);
  head.write("\x7fELF\x02\x01", "latin1");
  head.writeBigUInt64LE(BigInt(table), 0x28);
  head.writeUInt16LE(64, 0x3a);
  head.writeUInt16LE(2, 0x3c);
  head.writeUInt16LE(0, 0x3e);
  const section = (nameAt: number, offset: number, size: number) => {
    const header = Buffer.alloc(64);
    header.writeUInt32LE(nameAt, 0);
    header.writeBigUInt64LE(BigInt(offset), 24);
    header.writeBigUInt64LE(BigInt(size), 32);
    return header;
  };
  const sections = [section(1, start, names.length), section(8, start + names.length, content.length)];
  return Buffer.concat([head, names, content, ...sections]);
}

it("only the code of one architecture is left, in a library whose other bytes are the same", () => {
  const content = (others: number) =>
    Buffer.concat([
      fatBinary([80, others && 1, 24], [90, 2, 16]),
      Buffer.alloc(8),
      fatBinary([90, 3, 8]),
      fatBinary([120, others && 4, 40]),
    ]);
  const file = library(".nv_fatbin", content(1));
  expect(keepArchitecture(file, 90)).toEqual({ kept: 24, zeroed: 64 });
  expect(file.equals(library(".nv_fatbin", content(0)))).toBe(true);
});

it.each([
  ["has no code for it", library(".nv_fatbin", fatBinary([80, 1, 8], [75, 1, 8])), "architecture 90, it has 75, 80"],
  ["has no code at all", library(".nv_fatbin", Buffer.alloc(32)), "architecture 90, it has none"],
  ["has no such section", library(".text", Buffer.alloc(32)), "no section .nv_fatbin"],
  ["is cut", library(".nv_fatbin", fatBinary([90, 1, 800]).subarray(0, 200)), "exceeds the section"],
  ["is no ELF file", Buffer.alloc(100), "no 64-bit little-endian ELF"],
])("a library that %s is refused", (_what, file, message) => {
  expect(() => keepArchitecture(file, 90)).toThrow(message);
});
