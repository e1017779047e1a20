import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { initialArchitecture } from "../space/groups";
import { decidedArchitecture } from "../space/decided";
import { keepSome, randomBuffer, randomGenotype } from "../testing/networks";
import { TILE_SIZES } from "../testing/portableTiles";
import { uniform } from "../testing/spaces";
import { blockedSupernet } from "./blocked";
import { toBlockedOrder, toPlainOrder } from "./blockedLayout";
import { buildSupernet } from "./supernet";

/** Channels that are whole tiles, widths that are not. */
const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 3,
  stemChannels: 8,
  dilations: [1, 2],
  scales: [1, 2],
  kinds: [],
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 2, widths: [6, 12, 16], dropout: 0 },
    { channels: 32, minDepth: 1, maxDepth: 1, widths: [10, 24, 32], dropout: 0 },
  ],
};
const whole = initialArchitecture(space);
const architectures: [string, Architecture][] = [
  ["whole", whole],
  ["shrunk", keepSome(space, whole, uniform(12), 0.5)],
  ["decided", decidedArchitecture(space, randomGenotype(space, uniform(8)))],
];

const cases = TILE_SIZES.flatMap((tile) => architectures.map(([name, architecture]) => ({ tile, name, architecture })));

describe.each(cases)("the order in tiles of $tile of a supernet that is $name", ({ tile, architecture }) => {
  const supernet = buildSupernet(space, architecture);
  const blocked = blockedSupernet(supernet, 4, tile);
  if (typeof blocked === "string") throw new Error(blocked);

  it.each(["weights", "stats"] as const)("holds every value of the %s once, and zeros as padding", (role) => {
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
