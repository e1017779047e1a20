import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { initialArchitecture } from "../space/groups";
import { decidedArchitecture, keepSome, randomBuffer, randomGenotype } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { blockedSupernet } from "./blocked";
import { toBlockedOrder, toPlainOrder } from "./blockedLayout";
import { buildSupernet } from "./supernet";

/** Channels that are whole tiles of 8, widths that are not. */
const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 3,
  stemChannels: 8,
  dilations: [1, 2],
  scales: [1, 2],
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 2, widths: [6, 12, 16], dropout: 0 },
    { channels: 24, minDepth: 1, maxDepth: 1, widths: [10, 24], dropout: 0 },
  ],
};
const whole = initialArchitecture(space);
const architectures: [string, Architecture][] = [
  ["whole", whole],
  ["shrunk", keepSome(space, whole, uniform(12), 0.5)],
  ["decided", decidedArchitecture(space, randomGenotype(space, uniform(8)))],
];

describe.each(architectures)("the blocked order of a supernet that is %s", (_, architecture) => {
  const supernet = buildSupernet(space, architecture);
  const blocked = blockedSupernet(supernet, 2, 8);
  if (typeof blocked === "string") throw new Error(blocked);

  it.each(["weights", "stats"] as const)("holds every value of the %s once, and zeros where it fills up", (role) => {
    const layout = blocked.layout[role];
    const plain = randomBuffer(supernet[role], uniform(5));
    const there = toBlockedOrder(plain, layout);
    expect(there).toHaveLength(blocked[role].size);
    expect(toPlainOrder(there, layout)).toEqual(plain);
    const placed = layout.source.filter((index) => index >= 0).sort();
    expect(placed).toEqual(Int32Array.from(plain.keys()));
    expect(there.filter((_, position) => layout.source[position] === -1).every((value) => value === 0)).toBe(true);
  });
});
