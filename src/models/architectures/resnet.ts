/**
 * ResNet as torchvision builds it (He et al. 2015, arXiv:1512.03385); the stride of a bottleneck block is in
 * its 3×3 convolution, not in its first one (Goyal et al. 2017, arXiv:1706.02677).
 *
 * @module
 */
import type { Architecture, Blocks, BuildArguments } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** The facts that all ResNets have in common. */
const COMMON = {
  initializers: {
    conv: { weight: { normal: 2, over: "fanOut" }, bias: "zeros" },
    linear: { weight: "torchDefault", bias: "torchDefault" },
  },
  heads: ["fc"],
  linearHead: true,
  inputSize: 224,
  minSize: 1,
  paper: {
    authors: "He et al. 2015",
    title: "Deep Residual Learning for Image Recognition",
    arxiv: "1512.03385",
  },
} as const;

/** ResNet-18. */
export const resnet18 = {
  ...COMMON,
  build: (...args: BuildArguments): Network => resnet(...args, "basic", [2, 2, 2, 2]),
  headFeatures: 512,
  parameters: 11_689_512,
  multiplyAdds: 1_814_073_344,
  fingerprint: { tensors: 100, name: "layer4.1.conv2.weight", shape: [512, 512, 3, 3] },
  weights: { licence: "BSD-3-Clause", v1: { file: "resnet18-f37072fd.pth", mebibytes: 44.661 } },
} as const satisfies Architecture;

/** ResNet-34. */
export const resnet34 = {
  ...COMMON,
  build: (...args: BuildArguments): Network => resnet(...args, "basic", [3, 4, 6, 3]),
  headFeatures: 512,
  parameters: 21_797_672,
  multiplyAdds: 3_663_761_408,
  fingerprint: { tensors: 180, name: "layer4.2.conv2.weight", shape: [512, 512, 3, 3] },
  weights: { licence: "BSD-3-Clause", v1: { file: "resnet34-b627a593.pth", mebibytes: 83.275 } },
} as const satisfies Architecture;

/** ResNet-50. */
export const resnet50 = {
  ...COMMON,
  build: (...args: BuildArguments): Network => resnet(...args, "bottleneck", [3, 4, 6, 3]),
  headFeatures: 2048,
  parameters: 25_557_032,
  multiplyAdds: 4_089_184_256,
  fingerprint: { tensors: 265, name: "layer4.2.conv2.weight", shape: [512, 512, 3, 3] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "resnet50-0676ba61.pth", mebibytes: 97.781 },
    v2: { file: "resnet50-11ad3fa6.pth", mebibytes: 97.79 },
  },
} as const satisfies Architecture;

/** Channels of the four stages' 3×3 convolutions. */
const CHANNELS = [64, 128, 256, 512];
const STEM_CHANNELS = 64;
/** The ratio of a bottleneck block's output channels to the channels of its 3×3 convolution. */
const EXPANSION = 4;

type Block = "basic" | "bottleneck";

function resnet(
  nn: Blocks,
  input: Node,
  options: BuildOptions,
  block: Block,
  blocks: readonly number[],
): Network {
  let x = nn.conv("conv1", input, { filters: STEM_CHANNELS, kernel: 7, stride: 2 });
  x = nn.relu("relu", nn.batchNorm("bn1", x));
  // PyTorch pads with -∞; behind a ReLU zeros can't win either.
  x = nn.maxPool("maxpool", nn.zeroPad("maxpool.pad", x, 1), 3);
  let width = STEM_CHANNELS;
  CHANNELS.forEach((channels, stage) => {
    for (let index = 0; index < blocks[stage]; index++) {
      const stride = stage > 0 && index === 0 ? 2 : 1;
      const place = { name: `layer${stage + 1}.${index}`, width, channels, stride };
      x = residual(nn, x, block, place);
      width = channels * (block === "bottleneck" ? EXPANSION : 1);
    }
  });
  return { logits: options.head("fc", nn.averagePool("avgpool", x)) };
}

interface BlockPosition {
  readonly name: string;
  /** Channels that come in. */
  readonly width: number;
  /** Channels of the 3×3 convolutions. */
  readonly channels: number;
  readonly stride: number;
}

function residual(nn: Blocks, x: Node, block: Block, place: BlockPosition): Node {
  const { name, width, channels, stride } = place;
  const isBasic = block === "basic";
  const out = isBasic ? channels : channels * EXPANSION;
  const y = isBasic ? basicBranch(nn, x, place) : bottleneckBranch(nn, x, place, out);
  let identity = x;
  if (stride !== 1 || width !== out) {
    const projected = nn.conv(`${name}.downsample.0`, x, { filters: out, kernel: 1, stride });
    identity = nn.batchNorm(`${name}.downsample.1`, projected);
  }
  const sum = nn.add(`${name}.add`, [y, identity]);
  return nn.relu(`${name}.relu${isBasic ? 2 : 3}`, sum);
}

function basicBranch(nn: Blocks, x: Node, { name, channels, stride }: BlockPosition): Node {
  let y = nn.conv(`${name}.conv1`, x, { filters: channels, kernel: 3, stride });
  y = nn.relu(`${name}.relu1`, nn.batchNorm(`${name}.bn1`, y));
  y = nn.conv(`${name}.conv2`, y, { filters: channels, kernel: 3 });
  return nn.batchNorm(`${name}.bn2`, y);
}

function bottleneckBranch(
  nn: Blocks,
  x: Node,
  { name, channels, stride }: BlockPosition,
  out: number,
): Node {
  let y = nn.conv(`${name}.conv1`, x, { filters: channels, kernel: 1 });
  y = nn.relu(`${name}.relu1`, nn.batchNorm(`${name}.bn1`, y));
  y = nn.conv(`${name}.conv2`, y, { filters: channels, kernel: 3, stride });
  y = nn.relu(`${name}.relu2`, nn.batchNorm(`${name}.bn2`, y));
  y = nn.conv(`${name}.conv3`, y, { filters: out, kernel: 1 });
  return nn.batchNorm(`${name}.bn3`, y);
}
