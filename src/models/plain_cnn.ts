/**
 * A small network without BatchNorm and dropout, for tests of exactness and for small images.
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
} from "./blocks.ts";

const CHANNELS = [16, 32, 64];

/** The network's graph on images [n, h, w, 3]. */
export function plainCnn(input: Node, options: BuildOptions): Network {
  let x = input;
  CHANNELS.forEach((filters, index) => {
    const number = index + 1;
    x = relu(`relu${number}`, conv(`conv${number}`, x, { filters, kernel: 3, bias: true }));
    if (number === CHANNELS.length) return;
    x = on(tf.layers.maxPooling2d({ name: `pool${number}`, poolSize: 2, strides: 2 }), x);
  });
  return { logits: options.head("fc", averagePool("avgpool", x)) };
}
