/** predict.py: segments one image with the network of its folder. */
export const PYTHON = `#!/usr/bin/env python3
"""Segments an image: python3 predict.py IMAGE [CLASS_MAP.png]. Needs: pip install onnxruntime numpy pillow"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

here = Path(__file__).resolve().parent
how = json.loads((here / "preprocess.json").read_text(encoding="utf-8"))
session = onnxruntime.InferenceSession(str(here / how["model"]), providers=["CPUExecutionProvider"])


def class_map(image):
    """Index of the class of each pixel, at the size of the image."""
    name = how["inputs"][0]["name"]
    if how["layout"] == "NHWC":
        batch = np.asarray(image)[None]
        classes = session.run([how["output"]], {name: batch})[0][0]
    else:
        size = (how["resize"]["width"], how["resize"]["height"])
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32) / 255
        logits = session.run([how["output"]], {name: pixels.transpose(2, 0, 1)[None]})[0]
        classes = logits[0].argmax(axis=0)
    return Image.fromarray(classes.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with Image.open(sys.argv[1]) as file:
        found = class_map(ImageOps.exif_transpose(file).convert("RGB"))
    counts = np.bincount(np.asarray(found).ravel(), minlength=len(how["classes"]))
    for name, count in zip(how["classes"], counts):
        print(f"{100 * count / counts.sum():5.1f} %  {name}")
    if len(sys.argv) == 3:
        found.save(sys.argv[2])
`;

/** predict.mjs: the same for Node. */
export const NODE = `// Segments an image: node predict.mjs IMAGE [CLASS_MAP.png]. Needs: npm install --onnxruntime-node-install=skip onnxruntime-node sharp
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ort from "onnxruntime-node";
import sharp from "sharp";

const here = dirname(fileURLToPath(import.meta.url));
const how = JSON.parse(readFileSync(join(here, "preprocess.json"), "utf8"));

/** Index of the class of each pixel, at the size of the image. */
async function classMap(file) {
  const session = await ort.InferenceSession.create(join(here, how.model));
  const image = sharp(file).rotate().removeAlpha().toColourspace("srgb");
  const { data: rgb, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const stored = { width: info.width, height: info.height };
  const name = how.inputs[0].name;
  let [classes, size] = [undefined, stored];
  if (how.layout === "NHWC") {
    const input = new ort.Tensor("uint8", rgb, [1, info.height, info.width, 3]);
    const output = (await session.run({ [name]: input }, [how.output]))[how.output];
    [classes, size] = [Buffer.from(output.data), { height: output.dims[1], width: output.dims[2] }];
  } else {
    const { height, width } = how.resize;
    const planes = new Float32Array(3 * height * width);
    resized(rgb, stored, how.resize).forEach((value, at) => {
      planes[(at % 3) * height * width + Math.floor(at / 3)] = value / 255;
    });
    const input = new ort.Tensor("float32", planes, [1, 3, height, width]);
    const { data, dims } = (await session.run({ [name]: input }, [how.output]))[how.output];
    size = { height: dims[2], width: dims[3] };
    classes = argmax(data, dims[1], size.height * size.width);
  }
  return { stored, data: nearest(classes, size, stored) };
}

/** A map at another size: each pixel takes the cell that its centre lies in. */
function nearest(map, from, to) {
  return Buffer.alloc(to.height * to.width).map((_, at) => {
    const y = Math.floor(((Math.floor(at / to.width) + 0.5) * from.height) / to.height);
    return map[y * from.width + Math.floor((((at % to.width) + 0.5) * from.width) / to.width)];
  });
}

/** [height, width, 3] at another size: triangle filter over the covered area, half-pixel centres, rounded once. */
function resized(rgb, from, to) {
  const rows = taps(from.height, to.height);
  const columns = taps(from.width, to.width);
  const wide = new Float64Array(from.height * to.width * 3);
  for (let y = 0; y < from.height; y++)
    columns.forEach((list, x) => {
      for (const [at, weight] of list)
        for (let c = 0; c < 3; c++) wide[(y * to.width + x) * 3 + c] += weight * rgb[(y * from.width + at) * 3 + c];
    });
  const out = new Float64Array(to.height * to.width * 3);
  rows.forEach((list, y) => {
    for (const [at, weight] of list)
      for (let x = 0; x < to.width * 3; x++) out[y * to.width * 3 + x] += weight * wide[at * to.width * 3 + x];
  });
  return out.map(Math.round);
}

/** Per output position the input positions and their weights, which sum to 1. */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, position) => {
    const centre = (position + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach));
    const last = Math.min(from, Math.ceil(centre + reach));
    const list = [];
    for (let at = first; at < last; at++) list.push([at, Math.max(0, 1 - Math.abs(at + 0.5 - centre) / reach)]);
    const sum = list.reduce((total, [, weight]) => total + weight, 0);
    return list.map(([at, weight]) => [at, weight / sum]);
  });
}

/** Class of the largest logit of each cell of [classes, cells]. */
function argmax(logits, classes, cells) {
  return Buffer.alloc(cells).map((_, cell) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits[c * cells + cell] > logits[best * cells + cell]) best = c;
    return best;
  });
}

const [image, target] = process.argv.slice(2);
if (image === undefined) throw new Error("usage: node predict.mjs IMAGE [CLASS_MAP.png]");
const { stored, data } = await classMap(image);
const counts = how.classes.map(() => 0);
for (const index of data) counts[index]++;
how.classes.forEach((name, index) => console.log(\`\${((100 * counts[index]) / data.length).toFixed(1).padStart(5)} %  \${name}\`));
if (target !== undefined) await sharp(data, { raw: { ...stored, channels: 1 } }).toColourspace("b-w").png().toFile(target);
`;
