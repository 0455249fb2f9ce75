/**
 * DenseNet-121 as torchvision builds it (Huang et al. 2017, arXiv:1608.06993): the bottleneck variant with
 * compression, "DenseNet-BC", with a growth rate of 32.
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** DenseNet-121. */
export const densenet121 = {
  build,
  initializers: {
    conv: { weight: { normal: 2, over: "fanIn" }, bias: "zeros" },
    linear: { weight: "torchDefault", bias: "zeros" },
  },
  heads: ["classifier"],
  headFeatures: 1024,
  linearHead: true,
  inputSize: 224,
  minSize: 29,
  renameState,
  parameters: 7_978_856,
  multiplyAdds: 2_834_161_664,
  fingerprint: { tensors: 604, name: "features.conv0.weight", shape: [64, 3, 7, 7] },
  weights: { licence: "BSD-3-Clause", v1: { file: "densenet121-a639ec97.pth", mebibytes: 30.845 } },
  paper: {
    authors: "Huang et al. 2016",
    title: "Densely Connected Convolutional Networks",
    arxiv: "1608.06993",
  },
} as const satisfies Architecture;

/** Dense layers in each block. */
const BLOCKS = [6, 12, 24, 16];
const STEM_CHANNELS = 64;
/** Channels that each dense layer adds. */
const GROWTH = 32;
/** Channels between the two convolutions of a dense layer. */
const BOTTLENECK = 4 * GROWTH;

/** The network's graph on images [n, h, w, 3]. */
function build(nn: Blocks, input: Node, options: BuildOptions): Network {
  let x = nn.conv("features.conv0", input, { filters: STEM_CHANNELS, kernel: 7, stride: 2 });
  x = normalized(nn, "features", "0", x);
  // PyTorch pads with -∞; behind a ReLU zeros can't win either.
  x = nn.maxPool("features.pool0", nn.zeroPad("features.pool0.pad", x, 1), 3);
  let width = STEM_CHANNELS;
  BLOCKS.forEach((layers, index) => {
    const number = index + 1;
    for (let layer = 1; layer <= layers; layer++) {
      const name = `features.denseblock${number}.denselayer${layer}`;
      // One concatenation onto the last, not of all layers anew: so are its gradients split only once.
      x = nn.concat(`${name}.concat`, [x, denseLayer(nn, name, x)]);
    }
    width += layers * GROWTH;
    if (number === BLOCKS.length) return;
    width /= 2;
    const name = `features.transition${number}`;
    x = nn.conv(`${name}.conv`, normalized(nn, name, "", x), { filters: width, kernel: 1 });
    x = nn.windowMean(`${name}.pool`, x, 2, 2);
  });
  x = nn.averagePool("avgpool", normalized(nn, "features", "5", x));
  return { logits: options.head("classifier", x) };
}

function denseLayer(nn: Blocks, name: string, x: Node): Node {
  let y = nn.conv(`${name}.conv1`, normalized(nn, name, "1", x), {
    filters: BOTTLENECK,
    kernel: 1,
  });
  y = normalized(nn, name, "2", y);
  return nn.conv(`${name}.conv2`, y, { filters: GROWTH, kernel: 3 });
}

function normalized(nn: Blocks, name: string, number: string, x: Node): Node {
  return nn.relu(`${name}.relu${number}`, nn.batchNorm(`${name}.norm${number}`, x));
}

/**
 * The name here of a parameter of torchvision's weights file, which was saved when the parts of a dense layer
 * were called `norm.1`, `conv.2` and so on; other names come back as they are.
 */
function renameState(name: string): string {
  return name.replace(/(denselayer\d+\.(?:norm|conv))\.([12]\.)/, "$1$2");
}
