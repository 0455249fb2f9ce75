/**
 * Inception v3 as torchvision builds it (Szegedy et al. 2015, arXiv:1512.00567), with the auxiliary classifier,
 * which counts in training only.
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, ConvOptions, Network, Node } from "../blocks.ts";

/** Inception v3. */
export const inception_v3 = {
  build,
  initializers: {
    // torchvision cuts these normal distributions off at ±2, which is 20 standard deviations away.
    conv: { weight: { std: 0.1 }, bias: "zeros" },
    linear: { weight: { std: 0.1 }, bias: "torchDefault" },
    layers: { "AuxLogits.fc": { weight: { std: 0.001 }, bias: "torchDefault" } },
  },
  heads: ["fc", "AuxLogits.fc"],
  headFeatures: 2048,
  linearHead: true,
  inputSize: 299,
  minSize: 75,
  minTrainingSize: 299,
  parameters: 27_161_264,
  auxiliaryParameters: 3_326_696,
  multiplyAdds: 5_713_216_096,
  fingerprint: { tensors: 480, name: "Conv2d_1a_3x3.conv.weight", shape: [32, 3, 3, 3] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "inception_v3_google-0cc3c7bd.pth", mebibytes: 103.903 },
  },
  paper: {
    authors: "Szegedy et al. 2015",
    title: "Rethinking the Inception Architecture for Computer Vision",
    arxiv: "1512.00567",
  },
} as const satisfies Architecture;

const EPSILON = 1e-3;
const DROPOUT = 0.5;

/** A convolution of a branch: its name, its filters, its kernel, and its stride and padding if they aren't plain. */
type Step = readonly [
  name: string,
  filters: number,
  kernel: ConvOptions["kernel"],
  more?: Pick<ConvOptions, "stride" | "padding">,
];

/** Halves an image's side, without padding. */
const REDUCE = { stride: 2, padding: 0 };
const WIDE = [1, 7] as const;
const HIGH = [7, 1] as const;

/** The network's graph on images [n, h, w, 3]. */
function build(nn: Blocks, input: Node, options: BuildOptions): Network {
  const { head, classes, dropout = DROPOUT, transformInput = false } = options;
  let x = transformInput ? nn.transformInput("transform_input", input) : input;
  x = branch(nn, "", x, [
    ["Conv2d_1a_3x3", 32, 3, REDUCE],
    ["Conv2d_2a_3x3", 32, 3, { padding: 0 }],
    ["Conv2d_2b_3x3", 64, 3],
  ]);
  x = nn.maxPool("maxpool1", x, 3);
  x = branch(nn, "", x, [["Conv2d_3b_1x1", 80, 1], ["Conv2d_4a_3x3", 192, 3, { padding: 0 }]]);
  x = nn.maxPool("maxpool2", x, 3);
  x = blockA(nn, "Mixed_5b", x, 32);
  x = blockA(nn, "Mixed_5c", x, 64);
  x = blockA(nn, "Mixed_5d", x, 64);
  x = blockB(nn, "Mixed_6a", x);
  x = blockC(nn, "Mixed_6b", x, 128);
  x = blockC(nn, "Mixed_6c", x, 160);
  x = blockC(nn, "Mixed_6d", x, 160);
  x = blockC(nn, "Mixed_6e", x, 192);
  const auxiliary = auxiliaryHead(nn, "AuxLogits", x, classes);
  x = blockD(nn, "Mixed_7a", x);
  x = blockE(nn, "Mixed_7b", x);
  x = blockE(nn, "Mixed_7c", x);
  x = nn.dropUnits("dropout", nn.averagePool("avgpool", x), dropout, 0);
  return { logits: head("fc", x), auxiliary };
}

function auxiliaryHead(nn: Blocks, name: string, x: Node, classes: number): Node {
  const y = branch(nn, `${name}.`, nn.windowMean(`${name}.pool`, x, 5, 3), [
    ["conv0", 128, 1],
    ["conv1", 768, 5, { padding: 0 }],
  ]);
  return nn.linear(`${name}.fc`, nn.averagePool(`${name}.avgpool`, y), classes);
}

/** Convolutions one after the other, each with BatchNorm and ReLU. */
function branch(nn: Blocks, prefix: string, x: Node, steps: readonly Step[]): Node {
  return steps.reduce((y, [own, filters, kernel, more]) => {
    const name = `${prefix}${own}`;
    const convolved = nn.conv(`${name}.conv`, y, { filters, kernel, ...more });
    return nn.relu(`${name}.relu`, nn.batchNorm(`${name}.bn`, convolved, { epsilon: EPSILON }));
  }, x);
}

/** The mean of each pixel's surroundings, in which zeros beyond the edge count, and a convolution. */
function poolBranch(nn: Blocks, name: string, x: Node, filters: number): Node {
  const surrounded = nn.zeroPad(`${name}.pool.pad`, x, 1);
  return branch(nn, `${name}.`, nn.windowMean(`${name}.pool`, surrounded, 3, 1), [
    ["branch_pool", filters, 1],
  ]);
}

function blockA(nn: Blocks, name: string, x: Node, poolFilters: number): Node {
  return nn.concat(`${name}.concat`, [
    branch(nn, `${name}.`, x, [["branch1x1", 64, 1]]),
    branch(nn, `${name}.`, x, [["branch5x5_1", 48, 1], ["branch5x5_2", 64, 5]]),
    branch(nn, `${name}.`, x, [
      ["branch3x3dbl_1", 64, 1],
      ["branch3x3dbl_2", 96, 3],
      ["branch3x3dbl_3", 96, 3],
    ]),
    poolBranch(nn, name, x, poolFilters),
  ]);
}

function blockB(nn: Blocks, name: string, x: Node): Node {
  return nn.concat(`${name}.concat`, [
    branch(nn, `${name}.`, x, [["branch3x3", 384, 3, REDUCE]]),
    branch(nn, `${name}.`, x, [
      ["branch3x3dbl_1", 64, 1],
      ["branch3x3dbl_2", 96, 3],
      ["branch3x3dbl_3", 96, 3, REDUCE],
    ]),
    nn.maxPool(`${name}.pool`, x, 3),
  ]);
}

/** @param inner Channels between the 7-wide convolutions */
function blockC(nn: Blocks, name: string, x: Node, inner: number): Node {
  return nn.concat(`${name}.concat`, [
    branch(nn, `${name}.`, x, [["branch1x1", 192, 1]]),
    branch(nn, `${name}.`, x, [
      ["branch7x7_1", inner, 1],
      ["branch7x7_2", inner, WIDE],
      ["branch7x7_3", 192, HIGH],
    ]),
    branch(nn, `${name}.`, x, [
      ["branch7x7dbl_1", inner, 1],
      ["branch7x7dbl_2", inner, HIGH],
      ["branch7x7dbl_3", inner, WIDE],
      ["branch7x7dbl_4", inner, HIGH],
      ["branch7x7dbl_5", 192, WIDE],
    ]),
    poolBranch(nn, name, x, 192),
  ]);
}

function blockD(nn: Blocks, name: string, x: Node): Node {
  return nn.concat(`${name}.concat`, [
    branch(nn, `${name}.`, x, [["branch3x3_1", 192, 1], ["branch3x3_2", 320, 3, REDUCE]]),
    branch(nn, `${name}.`, x, [
      ["branch7x7x3_1", 192, 1],
      ["branch7x7x3_2", 192, WIDE],
      ["branch7x7x3_3", 192, HIGH],
      ["branch7x7x3_4", 192, 3, REDUCE],
    ]),
    nn.maxPool(`${name}.pool`, x, 3),
  ]);
}

function blockE(nn: Blocks, name: string, x: Node): Node {
  const single = branch(nn, `${name}.`, x, [["branch3x3_1", 384, 1]]);
  const double = branch(nn, `${name}.`, x, [["branch3x3dbl_1", 448, 1], [
    "branch3x3dbl_2",
    384,
    3,
  ]]);
  return nn.concat(`${name}.concat`, [
    branch(nn, `${name}.`, x, [["branch1x1", 320, 1]]),
    branch(nn, `${name}.`, single, [["branch3x3_2a", 384, [1, 3]]]),
    branch(nn, `${name}.`, single, [["branch3x3_2b", 384, [3, 1]]]),
    branch(nn, `${name}.`, double, [["branch3x3dbl_3a", 384, [1, 3]]]),
    branch(nn, `${name}.`, double, [["branch3x3dbl_3b", 384, [3, 1]]]),
    poolBranch(nn, name, x, 192),
  ]);
}
