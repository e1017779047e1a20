import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";

/** States in which the searches of a run are kept; "deleted" has been there. */
export const ROLES = ["waiting", "running", "paused", "ended", "cancelled", "deleted"] as const;
type Role = (typeof ROLES)[number];

/** A text that stands for the search id of a role, of the length of an id: requests are drawn before the ids are known. */
export const idOf = (role: Role): string => `s-${role.padEnd(12, "0")}`;

/** Stands for the random part of an object's name. */
const uniqueOf = (index: number): string => `fuzzobject${String(index).padStart(2, "0")}`;

/** The objects of the ended search, with stand-ins for its id and their random parts. */
export function objectsOf(artifacts: readonly ArtifactRef[]): string[] {
  return artifacts.map(({ object }, index) => {
    const [, , ...rest] = object.split("/");
    return [idOf("ended"), uniqueOf(index), ...rest].join("/");
  });
}

/** Stands for a page token, whose length does not change. */
export const tokenLike = (token: string): string => "t".repeat(token.length);

/** The stand-ins: each text with the real one of equal length. */
export type StandIns = ReadonlyMap<string, string>;

export function standIns(
  ids: Readonly<Record<Role, string>>,
  artifacts: readonly ArtifactRef[],
  pageToken: string,
): StandIns {
  return new Map([
    [tokenLike(pageToken), pageToken],
    ...ROLES.map((role): [string, string] => [idOf(role), ids[role]]),
    ...artifacts.map(({ object }, index): [string, string] => [uniqueOf(index), object.split("/")[1] ?? ""]),
  ]);
}

/** The bytes with each stand-in replaced. Lengths are equal, so that the bytes stay what they were: a message, cut or broken. */
export function substitute(bytes: Uint8Array, standing: StandIns): Buffer {
  const copy = Buffer.from(bytes);
  for (const [from, to] of standing)
    for (let at = copy.indexOf(from); at >= 0; at = copy.indexOf(from, at + from.length)) copy.write(to, at, "latin1");
  return copy;
}
