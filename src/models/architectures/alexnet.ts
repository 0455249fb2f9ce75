/**
 * AlexNet as torchvision builds it: the single-column variant of "One weird trick for parallelizing convolutional
 * neural networks" (Krizhevsky 2014, arXiv:1404.5997).
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** AlexNet. */
export const alexnet = {
  build,
  initializers: {
    conv: { weight: "torchDefault", bias: "torchDefault" },
    linear: { weight: "torchDefault", bias: "torchDefault" },
  },
  heads: ["classifier.6"],
  headFeatures: 4096,
  linearHead: true,
  inputSize: 224,
  minSize: 63,
  parameters: 61_100_840,
  multiplyAdds: 714_188_480,
  fingerprint: { tensors: 14, name: "features.0.weight", shape: [64, 3, 11, 11] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "alexnet-owt-7be5be79.pth", mebibytes: 233.087 },
  },
  paper: {
    authors: "Krizhevsky 2014",
    title: "One weird trick for parallelizing convolutional neural networks",
    arxiv: "1404.5997",
  },
} as const satisfies Architecture;

const DROPOUT = 0.5;
const UNITS = 4096;

/** The network's graph on images [n, h, w, 3]. */
function build(nn: Blocks, input: Node, { head, dropout = DROPOUT }: BuildOptions): Network {
  const stem = { filters: 64, kernel: 11, stride: 4, padding: 2, bias: true };
  let x = nn.relu("features.1", nn.conv("features.0", input, stem));
  x = nn.maxPool("features.2", x, 3);
  x = nn.relu("features.4", nn.conv("features.3", x, { filters: 192, kernel: 5, bias: true }));
  x = nn.maxPool("features.5", x, 3);
  [384, 256, 256].forEach((filters, index) => {
    const number = 6 + 2 * index;
    x = nn.conv(`features.${number}`, x, { filters, kernel: 3, bias: true });
    x = nn.relu(`features.${number + 1}`, x);
  });
  x = nn.maxPool("features.12", x, 3);
  x = nn.adaptiveAverageFlatten("avgpool", x, 6);
  x = nn.dropUnits("classifier.0", x, dropout, 0);
  x = nn.relu("classifier.2", nn.linear("classifier.1", x, UNITS));
  x = nn.dropUnits("classifier.3", x, dropout, 1);
  x = nn.relu("classifier.5", nn.linear("classifier.4", x, UNITS));
  return { logits: head("classifier.6", x) };
}
