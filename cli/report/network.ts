import type { Genotype, GenotypeBlock } from "../../shared/proto/lathe/v1/space";
import { blockInputs, headLines } from "../../shared/space/genotype";
import { searchStride } from "../../shared/space/head";
import { factorized } from "../../shared/space/kinds/factorized";
import { kindName, kindOf, middleChannels } from "../../shared/space/kinds/kinds";
import { largest, strideOf } from "../../shared/space/parts";
import { genotypeLine } from "../view/format";
import { html, type Html } from "./html";

/** A part of the network as a row of the picture, from its input to its output. */
interface Row {
  name: string;
  /** Channels at the top, in the middle and at the bottom of the shape. */
  channels: readonly [number, number, number];
  /** Channels of the stage: what the search could have kept. */
  declared: number;
  /** Input pixels per cell of the output. */
  stride: number;
  block?: GenotypeBlock;
}

const height = 46;
const width = 360;
const middle = 180;
const reach = 60;

/** The parts of a network from the image to the head. */
function rowsOf(genotype: Genotype): Row[] {
  const { stem, stages } = blockInputs(genotype);
  const part = (name: string, input: number, output: number, declared: number, stride: number): Row => ({
    ...{ name, channels: [input, output, output], declared, stride },
  });
  return [
    part("stem", stem.input, stem.output, genotype.stemChannels, 2),
    ...genotype.stages.flatMap(({ channels, blocks }, s) => {
      const { reduction, blocks: inputs } = stages[s]!;
      const stride = strideOf(s + 1);
      return [
        part(`stage ${s + 1}: reduction`, reduction.input, reduction.output, channels, stride),
        ...blocks.map((block, b): Row => ({
          ...{ name: `stage ${s + 1}: block ${b + 1}`, declared: channels, stride, block },
          channels: [inputs[b] ?? 0, middleChannels(block), block.outputWidth],
        })),
      ];
    }),
    part("head", stages.at(-1)!.output, genotype.classes, genotype.classes, searchStride(genotype)),
  ];
}

/**
 * The network as a picture, from top to bottom: a shape is as wide as its channels at input, middle and output; the outline around it is the
 * width that the stage began with. Darker is a larger dilation; a dashed border is a block at half resolution.
 */
export function networkPicture(genotype: Genotype): Html {
  const rows = rowsOf(genotype);
  const most = largest(rows.flatMap(({ channels, declared }) => [...channels, declared]));
  const most2 = largest(rows.map(({ block }) => Math.log2(block?.dilation ?? 1)));
  const half = (channels: number) => (reach * channels) / most;
  const { inputHeight, inputWidth } = genotype;
  const words = `The network for images of ${inputHeight}x${inputWidth}; operation and middle/output width of each block, by stage: ${genotypeLine(genotype)}`;
  return html`<figure class="network">
    <svg
      xmlns="http://www.w3.org/2000/svg"
      viewBox="0 0 ${width} ${rows.length * height}"
      role="img"
      aria-label="${words}"
      font-family="system-ui, sans-serif"
      font-size="12"
    >
      ${rows.map((row, index) => drawnRow(row, index * height, half, most2))}
    </svg>
    <figcaption>
      From image to class map. A shape is as wide as its channels at input, middle and output; the outline is the width
      that the stage began with, which the middle of an inverted bottleneck may exceed. Darker: larger dilation. Dashed:
      the block runs at half the resolution of its stage.${headLines(genotype).map((line) => ` The ${line}.`)}
    </figcaption>
  </figure>`;
}

/** "dilation 4"; of another kind than factorized "plain", or "separable, dilation 4" where the kind takes dilations. */
function operationText(block: GenotypeBlock): string {
  const kind = kindOf(block);
  const name = kind === factorized ? [] : [kindName(kind)];
  return [...name, ...(kind.dilated ? [`dilation ${block.dilation}`] : [])].join(", ");
}

function drawnRow(
  { name, channels, declared, stride, block }: Row,
  y: number,
  half: (of: number) => number,
  most: number,
): Html {
  const [top, bottom] = [y + 4, y + height - 6];
  const [input, inner, output] = channels.map(half) as [number, number, number];
  const outline = half(declared);
  const at = (x: number, level: number) => `${(middle + x).toFixed(1)},${level.toFixed(1)}`;
  const centre = (top + bottom) / 2;
  const shape = [
    ...[at(-input, top), at(input, top), at(inner, centre), at(output, bottom)],
    ...[at(-output, bottom), at(-inner, centre)],
  ].join(" ");
  const strength = block ? 0.25 + (most > 0 ? (0.65 * Math.log2(block.dilation)) / most : 0) : 0.12;
  const widths = block ? channels.join(" → ") : `${channels[0]} → ${channels[2]}`;
  const dash = block?.scale === 2 ? "4 3" : "none";
  return html`<g>
    <rect
      x="${(middle - outline).toFixed(1)}"
      y="${top}"
      width="${(2 * outline).toFixed(1)}"
      height="${bottom - top}"
      fill="none"
      stroke="var(--rule)"
    />
    <polygon
      points="${shape}"
      fill="var(--accent)"
      fill-opacity="${strength.toFixed(2)}"
      stroke="var(--ink)"
      stroke-dasharray="${dash}"
    />
    <text x="0" y="${centre - 3}" fill="var(--ink)">${name}</text>
    <text x="0" y="${centre + 12}" fill="var(--soft)">${widths}</text>
    <text x="${middle + reach + 8}" y="${centre - 3}" fill="var(--ink)"
      >${block ? operationText(block) : `at 1/${stride}`}</text
    >
    ${block && html`<text x="${middle + reach + 8}" y="${centre + 12}" fill="var(--soft)">${block.scale === 1 ? "scale 1" : `scale ${block.scale}`}, at 1/${stride * block.scale}</text>`}
  </g>`;
}
