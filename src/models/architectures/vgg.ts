/**
 * VGG with BatchNorm as torchvision builds it (Simonyan & Zisserman 2014, arXiv:1409.1556, configurations A and D;
 * BatchNorm came after the paper).
 *
 * @module
 */
import type { Architecture, Blocks, BuildArguments } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** The facts that all VGGs have in common. */
const COMMON = {
  initializers: {
    conv: { weight: { normal: 2, over: "fanOut" }, bias: "zeros" },
    linear: { weight: { std: 0.01 }, bias: "zeros" },
  },
  heads: ["classifier.6"],
  headFeatures: 4096,
  linearHead: true,
  inputSize: 224,
  minSize: 32,
  paper: {
    authors: "Simonyan and Zisserman 2014",
    title: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    arxiv: "1409.1556",
  },
} as const;

/** VGG-11 with BatchNorm. */
export const vgg11_bn = {
  ...COMMON,
  build: (...args: BuildArguments): Network => vgg(...args, STAGES_11),
  parameters: 132_868_840,
  multiplyAdds: 7_609_090_048,
  fingerprint: { tensors: 52, name: "features.0.weight", shape: [64, 3, 3, 3] },
  weights: { licence: "BSD-3-Clause", v1: { file: "vgg11_bn-6002323d.pth", mebibytes: 506.881 } },
} as const satisfies Architecture;

/** VGG-16 with BatchNorm. */
export const vgg16_bn = {
  ...COMMON,
  build: (...args: BuildArguments): Network => vgg(...args, STAGES_16),
  parameters: 138_365_992,
  multiplyAdds: 15_470_264_320,
  fingerprint: { tensors: 82, name: "features.0.weight", shape: [64, 3, 3, 3] },
  weights: { licence: "BSD-3-Clause", v1: { file: "vgg16_bn-6c64b313.pth", mebibytes: 527.866 } },
} as const satisfies Architecture;

/** Channels of each stage's convolutions; a max pool ends each stage. */
const STAGES_11 = [[64], [128], [256, 256], [512, 512], [512, 512]];
const STAGES_16 = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]];
const DROPOUT = 0.5;
const UNITS = 4096;

function vgg(
  nn: Blocks,
  input: Node,
  { head, dropout = DROPOUT }: BuildOptions,
  stages: readonly (readonly number[])[],
): Network {
  let layer = 0;
  const next = () => `features.${layer++}`;
  let x = input;
  for (const stage of stages) {
    for (const filters of stage) {
      x = nn.conv(next(), x, { filters, kernel: 3, bias: true });
      x = nn.batchNorm(next(), x);
      x = nn.relu(next(), x);
    }
    x = nn.maxPool(next(), x, 2);
  }
  x = nn.adaptiveAverageFlatten("avgpool", x, 7);
  x = nn.relu("classifier.1", nn.linear("classifier.0", x, UNITS));
  x = nn.dropUnits("classifier.2", x, dropout, 0);
  x = nn.relu("classifier.4", nn.linear("classifier.3", x, UNITS));
  x = nn.dropUnits("classifier.5", x, dropout, 1);
  return { logits: head("classifier.6", x) };
}
