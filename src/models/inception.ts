/**
 * Inception v3 as torchvision builds it (Szegedy et al. 2015, arXiv:1512.00567), with the auxiliary classifier,
 * which counts in training only.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import {
  averagePool,
  batchNorm,
  type BuildOptions,
  concat,
  conv,
  type ConvOptions,
  dropUnits,
  linear,
  maxPool,
  type Network,
  type Node,
  on,
  relu,
  windowMean,
  zeroPad,
} from "./blocks.ts";

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
export function inceptionV3(input: Node, options: BuildOptions): Network {
  const { head, classes, dropout = DROPOUT, transformInput = false } = options;
  let x = transformInput ? on(new TransformInput({ name: "transform_input" }), input) : input;
  x = branch("", x, [
    ["Conv2d_1a_3x3", 32, 3, REDUCE],
    ["Conv2d_2a_3x3", 32, 3, { padding: 0 }],
    ["Conv2d_2b_3x3", 64, 3],
  ]);
  x = maxPool("maxpool1", x, 3);
  x = branch("", x, [["Conv2d_3b_1x1", 80, 1], ["Conv2d_4a_3x3", 192, 3, { padding: 0 }]]);
  x = maxPool("maxpool2", x, 3);
  x = blockA("Mixed_5b", x, 32);
  x = blockA("Mixed_5c", x, 64);
  x = blockA("Mixed_5d", x, 64);
  x = blockB("Mixed_6a", x);
  x = blockC("Mixed_6b", x, 128);
  x = blockC("Mixed_6c", x, 160);
  x = blockC("Mixed_6d", x, 160);
  x = blockC("Mixed_6e", x, 192);
  const auxiliary = auxiliaryHead("AuxLogits", x, classes);
  x = blockD("Mixed_7a", x);
  x = blockE("Mixed_7b", x);
  x = blockE("Mixed_7c", x);
  x = dropUnits("dropout", averagePool("avgpool", x), dropout, 0);
  return { logits: head("fc", x), auxiliary };
}

function auxiliaryHead(name: string, x: Node, classes: number): Node {
  const y = branch(`${name}.`, windowMean(`${name}.pool`, x, 5, 3), [
    ["conv0", 128, 1],
    ["conv1", 768, 5, { padding: 0 }],
  ]);
  return linear(`${name}.fc`, averagePool(`${name}.avgpool`, y), classes);
}

/** Convolutions one after the other, each with BatchNorm and ReLU. */
function branch(prefix: string, x: Node, steps: readonly Step[]): Node {
  return steps.reduce((y, [own, filters, kernel, more]) => {
    const name = `${prefix}${own}`;
    const convolved = conv(`${name}.conv`, y, { filters, kernel, ...more });
    return relu(`${name}.relu`, batchNorm(`${name}.bn`, convolved, { epsilon: EPSILON }));
  }, x);
}

/** The mean of each pixel's surroundings, in which zeros beyond the edge count, and a convolution. */
function poolBranch(name: string, x: Node, filters: number): Node {
  const surrounded = zeroPad(`${name}.pool.pad`, x, 1);
  return branch(`${name}.`, windowMean(`${name}.pool`, surrounded, 3, 1), [
    ["branch_pool", filters, 1],
  ]);
}

function blockA(name: string, x: Node, poolFilters: number): Node {
  return concat(`${name}.concat`, [
    branch(`${name}.`, x, [["branch1x1", 64, 1]]),
    branch(`${name}.`, x, [["branch5x5_1", 48, 1], ["branch5x5_2", 64, 5]]),
    branch(`${name}.`, x, [
      ["branch3x3dbl_1", 64, 1],
      ["branch3x3dbl_2", 96, 3],
      ["branch3x3dbl_3", 96, 3],
    ]),
    poolBranch(name, x, poolFilters),
  ]);
}

function blockB(name: string, x: Node): Node {
  return concat(`${name}.concat`, [
    branch(`${name}.`, x, [["branch3x3", 384, 3, REDUCE]]),
    branch(`${name}.`, x, [
      ["branch3x3dbl_1", 64, 1],
      ["branch3x3dbl_2", 96, 3],
      ["branch3x3dbl_3", 96, 3, REDUCE],
    ]),
    maxPool(`${name}.pool`, x, 3),
  ]);
}

/** @param inner Channels between the 7-wide convolutions */
function blockC(name: string, x: Node, inner: number): Node {
  return concat(`${name}.concat`, [
    branch(`${name}.`, x, [["branch1x1", 192, 1]]),
    branch(`${name}.`, x, [
      ["branch7x7_1", inner, 1],
      ["branch7x7_2", inner, WIDE],
      ["branch7x7_3", 192, HIGH],
    ]),
    branch(`${name}.`, x, [
      ["branch7x7dbl_1", inner, 1],
      ["branch7x7dbl_2", inner, HIGH],
      ["branch7x7dbl_3", inner, WIDE],
      ["branch7x7dbl_4", inner, HIGH],
      ["branch7x7dbl_5", 192, WIDE],
    ]),
    poolBranch(name, x, 192),
  ]);
}

function blockD(name: string, x: Node): Node {
  return concat(`${name}.concat`, [
    branch(`${name}.`, x, [["branch3x3_1", 192, 1], ["branch3x3_2", 320, 3, REDUCE]]),
    branch(`${name}.`, x, [
      ["branch7x7x3_1", 192, 1],
      ["branch7x7x3_2", 192, WIDE],
      ["branch7x7x3_3", 192, HIGH],
      ["branch7x7x3_4", 192, 3, REDUCE],
    ]),
    maxPool(`${name}.pool`, x, 3),
  ]);
}

function blockE(name: string, x: Node): Node {
  const single = branch(`${name}.`, x, [["branch3x3_1", 384, 1]]);
  const double = branch(`${name}.`, x, [["branch3x3dbl_1", 448, 1], ["branch3x3dbl_2", 384, 3]]);
  return concat(`${name}.concat`, [
    branch(`${name}.`, x, [["branch1x1", 320, 1]]),
    branch(`${name}.`, single, [["branch3x3_2a", 384, [1, 3]]]),
    branch(`${name}.`, single, [["branch3x3_2b", 384, [3, 1]]]),
    branch(`${name}.`, double, [["branch3x3dbl_3a", 384, [1, 3]]]),
    branch(`${name}.`, double, [["branch3x3dbl_3b", 384, [3, 1]]]),
    poolBranch(name, x, 192),
  ]);
}

/** Channels' means and standard deviations that images come normalized by: ImageNet's. */
const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];
/** The mean and standard deviation that the weights were made for, in all channels. */
const OWN = 0.5;

/** Images [n, h, w, 3] normalized for ImageNet → the same ones from -1 to 1. */
class TransformInput extends tf.layers.Layer {
  static readonly className = "TransformInput";

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const x = Array.isArray(inputs) ? inputs[0] : inputs;
    return tf.tidy(() => {
      const scale = tf.tensor1d(STD.map((std) => std / OWN));
      const shift = tf.tensor1d(MEAN.map((mean) => (mean - OWN) / OWN));
      return tf.add(tf.mul(x, scale), shift);
    });
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }
}
