// What the two installers fetch, each pinned by version and sha256. The files are those for Linux x64; nothing of Python in them runs.
// Wheels that depend on a version of Python are those for `python`.
export const python = "3.11";

/** CUDA of the provider in onnxruntime-gpu, of NVIDIA's libraries below, and of the base image `gpu` (deploy/Dockerfile). */
export const cudaVersion = "13.0";

/** libtensorflow for the CPU, and for GPUs with the CUDA of the base image `tensorflow`. */
export const tensorflow = {
  cpu: {
    name: "tensorflow-cpu",
    version: "2.12.1",
    sha256: "7ffb595707a8fb376deaddc768784c7a0242b16cbc6e06393b1733b2ce19f855",
    megabytes: 232,
    unpackedMegabytes: 578,
  },
  gpu: {
    name: "tensorflow",
    version: "2.12.1",
    sha256: "857a1e331cc34f399236642dbf4ac8f3ca4f36e2df04e45516819db1b3c827c1",
    megabytes: 586,
    unpackedMegabytes: 1112,
    cuda: "11.8",
  },
};

/** The CUDA provider. Its version must be that of onnxruntime-node. */
export const provider = {
  name: "onnxruntime-gpu",
  version: "1.30.0",
  sha256: "4fbf0c5d7b5fb99266c2e8a802e3e64af68bdc383e0f3c7349b985f1087eedaa",
  megabytes: 247,
  unpackedMegabytes: 273,
};

/** NVIDIA's libraries that the provider loads, apart from the driver. */
export const nvidia = [
  {
    name: "nvidia-cuda-runtime",
    version: "13.0.96",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    megabytes: 2,
    unpackedMegabytes: 1,
  },
  {
    name: "nvidia-cublas",
    version: "13.1.0.3",
    sha256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
    megabytes: 423,
    unpackedMegabytes: 596,
  },
  {
    name: "nvidia-cudnn-cu13",
    version: "9.24.0.43",
    sha256: "71f181cd810e90f9b6023b01186fe82d13d65f0ec098581ee201d39fad769e4b",
    megabytes: 553,
    unpackedMegabytes: 966,
  },
  {
    name: "nvidia-curand",
    version: "10.4.0.35",
    sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
    megabytes: 60,
    unpackedMegabytes: 133,
  },
  {
    name: "nvidia-cuda-nvrtc",
    version: "13.0.88",
    sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
    megabytes: 90,
    unpackedMegabytes: 114,
  },
];
