/**
 * A small network without BatchNorm and dropout, for tests of exactness and for small pictures.
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import { averagePool, conv, linear, type Node, on, relu } from "./blocks.ts";

const CHANNELS = [16, 32, 64];

/** The network's graph: [n, h, w, 3] → logits [n, classes]. */
export function plainCnn(input: Node, classes: number): Node {
  let x = input;
  CHANNELS.forEach((filters, index) => {
    const number = index + 1;
    x = relu(`relu${number}`, conv(`conv${number}`, x, { filters, kernel: 3, bias: true }));
    if (number === CHANNELS.length) return;
    x = on(tf.layers.maxPooling2d({ name: `pool${number}`, poolSize: 2, strides: 2 }), x);
  });
  return linear("fc", averagePool("avgpool", x), classes);
}
