import { strideOf } from "../space/figures";
import { stemReduction, type ReductionChannels } from "../space/parts";
import type { Supernet } from "./supernet";

/** MACs of the convolutions of a supernet's forward pass, per image, by part; every candidate at the width that is computed. */
export function convolutionMacs({ space, stages }: Supernet): { part: string; macs: number }[] {
  const pixels = (stride: number) => (space.inputHeight / stride) * (space.inputWidth / stride);
  const kernel = ({ input, convolution }: ReductionChannels) => 9 * input * convolution;
  const parts = [{ part: "stem", macs: kernel(stemReduction(space)) * pixels(2) }];
  stages.forEach((stage, position) => {
    const stride = strideOf(position + 1);
    parts.push({ part: `${stage.name}/reduction`, macs: kernel(stage.reduction) * pixels(stride) });
    for (const block of stage.blocks) {
      const macs = block.operations.map(
        ({ operation, middleWidth, outputWidth }) =>
          3 * middleWidth * (block.inputs + outputWidth) * pixels(stride * operation.scale),
      );
      parts.push({ part: block.name, macs: macs.reduce((sum, each) => sum + each, 0) });
    }
  });
  const outputs = stages.at(-1)?.outputs ?? 0;
  return [...parts, { part: "head", macs: outputs * space.classes * pixels(strideOf(stages.length)) }];
}
