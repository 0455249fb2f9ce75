/**
 * A small network without BatchNorm and dropout, for tests of exactness and for small images.
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** The small network. */
export const plain_cnn = {
  build,
  initializers: {
    conv: { weight: "torchDefault", bias: "torchDefault" },
    linear: { weight: "torchDefault", bias: "torchDefault" },
  },
  heads: ["fc"],
  headFeatures: 64,
  linearHead: true,
  inputSize: 32,
  minSize: 4,
  parameters: 88_584,
  multiplyAdds: 2_865_664,
  fingerprint: { tensors: 6, name: "conv3.weight", shape: [64, 32, 3, 3] },
} as const satisfies Architecture;

const CHANNELS = [16, 32, 64];

/** The network's graph on images [n, h, w, 3]. */
function build(nn: Blocks, input: Node, options: BuildOptions): Network {
  let x = input;
  CHANNELS.forEach((filters, index) => {
    const number = index + 1;
    x = nn.relu(`relu${number}`, nn.conv(`conv${number}`, x, { filters, kernel: 3, bias: true }));
    if (number === CHANNELS.length) return;
    x = nn.maxPool(`pool${number}`, x, 2);
  });
  return { logits: options.head("fc", nn.averagePool("avgpool", x)) };
}
