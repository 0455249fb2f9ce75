/**
 * DenseNet-121 as torchvision builds it (Huang et al. 2017, arXiv:1608.06993): the bottleneck variant with
 * compression, "DenseNet-BC", with a growth rate of 32.
 *
 * @module
 */
import {
  averagePool,
  batchNorm,
  type BuildOptions,
  concat,
  conv,
  maxPool,
  type Network,
  type Node,
  relu,
  windowMean,
  zeroPad,
} from "./blocks.ts";

/** Dense layers in each block. */
const BLOCKS = [6, 12, 24, 16];
const STEM_CHANNELS = 64;
/** Channels that each dense layer adds. */
const GROWTH = 32;
/** Channels between the two convolutions of a dense layer. */
const BOTTLENECK = 4 * GROWTH;

/** The network's graph on images [n, h, w, 3]. */
export function densenet121(input: Node, options: BuildOptions): Network {
  let x = conv("features.conv0", input, { filters: STEM_CHANNELS, kernel: 7, stride: 2 });
  x = normalized("features", "0", x);
  // PyTorch pads with -∞; behind a ReLU zeros can't win either.
  x = maxPool("features.pool0", zeroPad("features.pool0.pad", x, 1), 3);
  let width = STEM_CHANNELS;
  BLOCKS.forEach((layers, index) => {
    const number = index + 1;
    for (let layer = 1; layer <= layers; layer++) {
      const name = `features.denseblock${number}.denselayer${layer}`;
      // One concatenation onto the last, not of all layers anew: so are its gradients split only once.
      x = concat(`${name}.concat`, [x, denseLayer(name, x)]);
    }
    width += layers * GROWTH;
    if (number === BLOCKS.length) return;
    width /= 2;
    const name = `features.transition${number}`;
    x = conv(`${name}.conv`, normalized(name, "", x), { filters: width, kernel: 1 });
    x = windowMean(`${name}.pool`, x, 2, 2);
  });
  x = averagePool("avgpool", normalized("features", "5", x));
  return { logits: options.head("classifier", x) };
}

function denseLayer(name: string, x: Node): Node {
  let y = conv(`${name}.conv1`, normalized(name, "1", x), { filters: BOTTLENECK, kernel: 1 });
  y = normalized(name, "2", y);
  return conv(`${name}.conv2`, y, { filters: GROWTH, kernel: 3 });
}

function normalized(name: string, number: string, x: Node): Node {
  return relu(`${name}.relu${number}`, batchNorm(`${name}.norm${number}`, x));
}

/**
 * The name here of a parameter of torchvision's weights file, which was saved when the parts of a dense layer
 * were called `norm.1`, `conv.2` and so on; other names come back as they are.
 */
export function densenetWeightName(name: string): string {
  return name.replace(/(denselayer\d+\.(?:norm|conv))\.([12]\.)/, "$1$2");
}
