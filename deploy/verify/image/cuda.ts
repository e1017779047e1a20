import type { Dockerfile } from "./dockerfile";

/** The CUDA versions of scripts/native/pins.json. */
export interface CudaPins {
  cuda: string;
  tensorflow: { gpu: { cuda: string } };
}

/** Where the base images and the packages of TensorRT have another CUDA than the wheels that the images install, one fault per line. */
export function cudaFaults({ stages, args }: Dockerfile, { cuda, tensorflow }: CudaPins): string[] {
  const wanted: Readonly<Record<string, string>> = { gpu: cuda, tensorflow: tensorflow.gpu.cuda };
  const bases = Object.entries(wanted).flatMap(([name, version]) => {
    const base = stages.find((stage) => stage.name === name)?.base;
    const [, found] = /nvidia\/cuda:(\d+\.\d+)\./.exec(base ?? "") ?? [];
    return found === version ? [] : [`image ${name} is based on ${base}, must have CUDA ${version}`];
  });
  const tensorrt = args.TENSORRT ?? "";
  return [
    ...bases,
    ...(tensorrt.endsWith(`+cuda${cuda}`) ? [] : [`TENSORRT is ${tensorrt}, must be for CUDA ${cuda}`]),
  ];
}
