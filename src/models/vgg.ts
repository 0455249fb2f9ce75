/**
 * VGG with BatchNorm as torchvision builds it (Simonyan & Zisserman 2014, arXiv:1409.1556, configurations A and D;
 * BatchNorm came after the paper).
 *
 * @module
 */
import {
  batchNorm,
  type BuildOptions,
  conv,
  dropUnits,
  linear,
  maxPool,
  type Network,
  type Node,
  on,
  relu,
} from "./blocks.ts";
import { AdaptiveAverageFlatten } from "./pooling.ts";

/** Channels of each stage's convolutions; a max pool ends each stage. */
const STAGES_11 = [[64], [128], [256, 256], [512, 512], [512, 512]];
const STAGES_16 = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]];
const DROPOUT = 0.5;
const UNITS = 4096;

/** VGG-11's graph on images [n, h, w, 3]. */
export function vgg11Bn(input: Node, options: BuildOptions): Network {
  return vgg(input, options, STAGES_11);
}

/** VGG-16's graph on images [n, h, w, 3]. */
export function vgg16Bn(input: Node, options: BuildOptions): Network {
  return vgg(input, options, STAGES_16);
}

function vgg(
  input: Node,
  { head, dropout = DROPOUT }: BuildOptions,
  stages: readonly (readonly number[])[],
): Network {
  let layer = 0;
  const next = () => `features.${layer++}`;
  let x = input;
  for (const stage of stages) {
    for (const filters of stage) {
      x = conv(next(), x, { filters, kernel: 3, bias: true });
      x = batchNorm(next(), x);
      x = relu(next(), x);
    }
    x = maxPool(next(), x, 2);
  }
  x = on(new AdaptiveAverageFlatten({ name: "avgpool", bins: 7 }), x);
  x = relu("classifier.1", linear("classifier.0", x, UNITS));
  x = dropUnits("classifier.2", x, dropout, 0);
  x = relu("classifier.4", linear("classifier.3", x, UNITS));
  x = dropUnits("classifier.5", x, dropout, 1);
  return { logits: head("classifier.6", x) };
}
