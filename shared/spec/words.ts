/** batch_size in a proto path for batchSize in the generated types. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** "output_width" for DIMENSION_OUTPUT_WIDTH, given the prefix of its enum; the number of a value that the enum does not have. */
export function enumWord(enumeration: Readonly<Record<number, string>>, prefix: string, value: number): string {
  return (enumeration[value] ?? String(value)).replace(prefix, "").toLowerCase();
}
