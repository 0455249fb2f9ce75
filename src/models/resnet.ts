/**
 * ResNet as torchvision builds it (He et al. 2015, arXiv:1512.03385); the stride of a bottleneck block is in
 * its 3×3 convolution, not in its first one (Goyal et al. 2017, arXiv:1706.02677).
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import {
  averagePool,
  batchNorm,
  type BuildOptions,
  conv,
  maxPool,
  type Network,
  type Node,
  on,
  relu,
  zeroPad,
} from "./blocks.ts";

/** Channels of the four stages' 3×3 convolutions. */
const CHANNELS = [64, 128, 256, 512];
const STEM_CHANNELS = 64;
/** The ratio of a bottleneck block's output channels to the channels of its 3×3 convolution. */
const EXPANSION = 4;

type Block = "basic" | "bottleneck";

/** ResNet-18's graph on images [n, h, w, 3]. */
export function resnet18(input: Node, options: BuildOptions): Network {
  return resnet(input, options, "basic", [2, 2, 2, 2]);
}

/** ResNet-34's graph on images [n, h, w, 3]. */
export function resnet34(input: Node, options: BuildOptions): Network {
  return resnet(input, options, "basic", [3, 4, 6, 3]);
}

/** ResNet-50's graph on images [n, h, w, 3]. */
export function resnet50(input: Node, options: BuildOptions): Network {
  return resnet(input, options, "bottleneck", [3, 4, 6, 3]);
}

function resnet(
  input: Node,
  options: BuildOptions,
  block: Block,
  blocks: readonly number[],
): Network {
  let x = conv("conv1", input, { filters: STEM_CHANNELS, kernel: 7, stride: 2 });
  x = relu("relu", batchNorm("bn1", x));
  // PyTorch pads with -∞; behind a ReLU zeros can't win either.
  x = maxPool("maxpool", zeroPad("maxpool.pad", x, 1), 3);
  let width = STEM_CHANNELS;
  CHANNELS.forEach((channels, stage) => {
    for (let index = 0; index < blocks[stage]; index++) {
      const stride = stage > 0 && index === 0 ? 2 : 1;
      const place = { name: `layer${stage + 1}.${index}`, width, channels, stride };
      x = residual(x, block, place);
      width = channels * (block === "bottleneck" ? EXPANSION : 1);
    }
  });
  return { logits: options.head("fc", averagePool("avgpool", x)) };
}

interface BlockPosition {
  readonly name: string;
  /** Channels that come in. */
  readonly width: number;
  /** Channels of the 3×3 convolutions. */
  readonly channels: number;
  readonly stride: number;
}

function residual(x: Node, block: Block, place: BlockPosition): Node {
  const { name, width, channels, stride } = place;
  const isBasic = block === "basic";
  const out = isBasic ? channels : channels * EXPANSION;
  const y = isBasic ? basicBranch(x, place) : bottleneckBranch(x, place, out);
  let identity = x;
  if (stride !== 1 || width !== out) {
    const projected = conv(`${name}.downsample.0`, x, { filters: out, kernel: 1, stride });
    identity = batchNorm(`${name}.downsample.1`, projected);
  }
  const sum = on(tf.layers.add({ name: `${name}.add` }), [y, identity]);
  return relu(`${name}.relu${isBasic ? 2 : 3}`, sum);
}

function basicBranch(x: Node, { name, channels, stride }: BlockPosition): Node {
  let y = conv(`${name}.conv1`, x, { filters: channels, kernel: 3, stride });
  y = relu(`${name}.relu1`, batchNorm(`${name}.bn1`, y));
  y = conv(`${name}.conv2`, y, { filters: channels, kernel: 3 });
  return batchNorm(`${name}.bn2`, y);
}

function bottleneckBranch(x: Node, { name, channels, stride }: BlockPosition, out: number): Node {
  let y = conv(`${name}.conv1`, x, { filters: channels, kernel: 1 });
  y = relu(`${name}.relu1`, batchNorm(`${name}.bn1`, y));
  y = conv(`${name}.conv2`, y, { filters: channels, kernel: 3, stride });
  y = relu(`${name}.relu2`, batchNorm(`${name}.bn2`, y));
  y = conv(`${name}.conv3`, y, { filters: out, kernel: 1 });
  return batchNorm(`${name}.bn3`, y);
}
