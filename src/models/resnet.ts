/**
 * ResNet-18 as torchvision builds it (He et al. 2015, arXiv:1512.03385; stride in the 3×3 convolution).
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import {
  averagePool,
  type BuildOptions,
  conv,
  type Network,
  type Node,
  on,
  relu,
  zeroPad,
} from "./blocks.ts";
import { BatchNorm } from "./layers.ts";

const STAGES = [
  { channels: 64, stride: 1 },
  { channels: 128, stride: 2 },
  { channels: 256, stride: 2 },
  { channels: 512, stride: 2 },
];
const BLOCKS_PER_STAGE = 2;

/** The network's graph on pictures [n, h, w, 3]. */
export function resnet18(input: Node, options: BuildOptions): Network {
  let x = conv("conv1", input, { filters: 64, kernel: 7, stride: 2 });
  x = relu("relu", batchNorm("bn1", x));
  // PyTorch pads with -∞; behind a ReLU zeros can't win either.
  x = zeroPad("maxpool.pad", x, 1);
  x = on(tf.layers.maxPooling2d({ name: "maxpool", poolSize: 3, strides: 2, padding: "valid" }), x);
  let width = 64;
  STAGES.forEach(({ channels, stride }, stage) => {
    for (let block = 0; block < BLOCKS_PER_STAGE; block++) {
      const name = `layer${stage + 1}.${block}`;
      x = basicBlock(name, x, width, channels, block === 0 ? stride : 1);
      width = channels;
    }
  });
  return { logits: options.head("fc", averagePool("avgpool", x)) };
}

function basicBlock(name: string, x: Node, width: number, channels: number, stride: number): Node {
  let y = conv(`${name}.conv1`, x, { filters: channels, kernel: 3, stride });
  y = relu(`${name}.relu1`, batchNorm(`${name}.bn1`, y));
  y = conv(`${name}.conv2`, y, { filters: channels, kernel: 3 });
  y = batchNorm(`${name}.bn2`, y);
  let identity = x;
  if (stride !== 1 || width !== channels) {
    const projected = conv(`${name}.downsample.0`, x, { filters: channels, kernel: 1, stride });
    identity = batchNorm(`${name}.downsample.1`, projected);
  }
  return relu(`${name}.relu2`, on(tf.layers.add({ name: `${name}.add` }), [y, identity]));
}

function batchNorm(name: string, x: Node): Node {
  return on(new BatchNorm({ name, epsilon: 1e-5, momentum: 0.1 }), x);
}
