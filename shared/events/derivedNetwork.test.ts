import { ArchitectureChosen, ArchitectureDerived, ArchitectureRepaired } from "../proto/lathe/v1/events";
import { Genotype } from "../proto/lathe/v1/space";
import type { LatheEvent, StoredEvent } from "./catalog";
import { derivedNetwork } from "./derivedNetwork";

const file = (object: string) => ({ object, kind: object, sizeBytes: 1, sha256: "00", mediaType: "" });
const derived: LatheEvent = {
  type: "architecture.derived",
  data: ArchitectureDerived.fromPartial({
    ...{ genotype: { classes: 1 }, supernetMiou: 0.5, discreteMiou: 0.4, costRatio: 0.6 },
    ...{ onnx: file("derived.onnx"), weights: file("derived.weights") },
  }),
};
const repaired = (number: number, changes: string[]): LatheEvent => ({
  type: "architecture.repaired",
  data: ArchitectureRepaired.fromPartial({
    ...{ number, changes, genotype: { classes: 1 + number }, discreteMiou: 0.3, costRatio: 0.5 },
    ...{ onnx: file(`repaired-${number}.onnx`), weights: file(`repaired-${number}.weights`) },
  }),
});
const history = (...events: LatheEvent[]): StoredEvent[] =>
  events.map((event, index) => ({ sequence: index + 1, time: new Date(0), searchId: "s-1", event }));

describe("the derived network of a history", () => {
  it("is that of the derivation, then that of the newest repair that changed it", () => {
    expect(derivedNetwork(history())).toBeUndefined();
    expect(derivedNetwork(history(derived))).toBe(derived.data);
    const events = [
      derived,
      repaired(1, ["stage1/depth 2 -> 1"]),
      repaired(2, ["stage2/depth 2 -> 1"]),
      repaired(3, []),
    ];
    expect(derivedNetwork(history(...events))).toMatchObject({
      ...{ genotype: Genotype.fromPartial({ classes: 3 }), supernetMiou: 0.5, discreteMiou: 0.3, costRatio: 0.5 },
      ...{ onnx: { kind: "repaired-2.onnx" }, weights: { kind: "repaired-2.weights" } },
    });
    const data = ArchitectureChosen.fromPartial({
      ...{ repair: 1, genotype: { classes: 2 }, discreteMiou: 0.2 },
      ...{ onnx: file("repaired-1.onnx"), weights: file("repaired-1.weights") },
    });
    expect(derivedNetwork(history(...events, { type: "architecture.chosen", data }))).toMatchObject({
      ...{ genotype: Genotype.fromPartial({ classes: 2 }), supernetMiou: 0.5, discreteMiou: 0.2 },
      ...{ onnx: { kind: "repaired-1.onnx" }, weights: { kind: "repaired-1.weights" } },
    });
  });
});
