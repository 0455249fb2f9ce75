/**
 * SqueezeNet 1.0 and 1.1 as torchvision builds them (Iandola et al. 2016, arXiv:1602.07360; 1.1 pools earlier and
 * has a smaller first convolution). The last layer is a convolution.
 *
 * @module
 */
import type { Architecture, Blocks, BuildArguments } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** The facts that both versions have in common. */
const COMMON = {
  initializers: {
    conv: { weight: { uniform: 2, over: "fanIn" }, bias: "zeros" },
    linear: { weight: "torchDefault", bias: "torchDefault" },
    layers: { "classifier.1": { weight: { std: 0.01 }, bias: "zeros" } },
  },
  heads: ["classifier.1"],
  headFeatures: 512,
  linearHead: false,
  inputSize: 224,
  paper: {
    authors: "Iandola et al. 2016",
    title: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    arxiv: "1602.07360",
  },
} as const;

/** SqueezeNet 1.0. */
export const squeezenet1_0 = {
  ...COMMON,
  build: (...args: BuildArguments): Network => squeezenet(...args, VERSION_1_0),
  minSize: 21,
  parameters: 1_248_424,
  multiplyAdds: 818_924_576,
  fingerprint: { tensors: 50, name: "features.0.weight", shape: [96, 3, 7, 7] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "squeezenet1_0-b66bff10.pth", mebibytes: 4.778 },
  },
} as const satisfies Architecture;

/** SqueezeNet 1.1. */
export const squeezenet1_1 = {
  ...COMMON,
  build: (...args: BuildArguments): Network => squeezenet(...args, VERSION_1_1),
  minSize: 17,
  parameters: 1_235_496,
  multiplyAdds: 349_151_936,
  fingerprint: { tensors: 50, name: "features.0.weight", shape: [64, 3, 3, 3] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "squeezenet1_1-b8a52dc0.pth", mebibytes: 4.729 },
  },
} as const satisfies Architecture;

interface Version {
  readonly stem: { readonly filters: number; readonly kernel: number };
  /** `features.2` and all that follow: max pools, and fire modules by the channels of each half they give. */
  readonly features: readonly (number | "pool")[];
}

const VERSION_1_0: Version = {
  stem: { filters: 96, kernel: 7 },
  features: ["pool", 64, 64, 128, "pool", 128, 192, 192, 256, "pool", 256],
};
const VERSION_1_1: Version = {
  stem: { filters: 64, kernel: 3 },
  features: ["pool", 64, 64, "pool", 128, 128, "pool", 192, 192, 256, 256],
};
const DROPOUT = 0.5;

function squeezenet(
  nn: Blocks,
  input: Node,
  { classes, dropout = DROPOUT }: BuildOptions,
  { stem, features }: Version,
): Network {
  let x = nn.conv("features.0", input, { ...stem, stride: 2, padding: 0, bias: true });
  x = nn.relu("features.1", x);
  features.forEach((feature, index) => {
    const name = `features.${index + 2}`;
    x = feature === "pool" ? nn.ceilMaxPool(name, x, 3) : fire(nn, name, x, feature);
  });
  x = nn.dropUnits("classifier.0", x, dropout, 0);
  x = nn.conv("classifier.1", x, { filters: classes, kernel: 1, bias: true });
  return { logits: nn.averagePool("classifier.3", nn.relu("classifier.2", x)) };
}

/** Narrows to a quarter of `half` channels, then gives twice `half`. */
function fire(nn: Blocks, name: string, x: Node, half: number): Node {
  const part = (own: string, input: Node, filters: number, kernel: number) => {
    const y = nn.conv(`${name}.${own}`, input, { filters, kernel, bias: true });
    return nn.relu(`${name}.${own}_activation`, y);
  };
  const squeezed = part("squeeze", x, half / 4, 1);
  return nn.concat(`${name}.concat`, [
    part("expand1x1", squeezed, half, 1),
    part("expand3x3", squeezed, half, 3),
  ]);
}
