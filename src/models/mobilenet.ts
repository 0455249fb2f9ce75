/**
 * MobileNetV2 as torchvision builds it (Sandler et al. 2018, arXiv:1801.04381).
 *
 * @module
 */
import { tf } from "../engine/tf.ts";
import {
  averagePool,
  batchNorm,
  type BuildOptions,
  conv,
  depthwiseConv,
  dropUnits,
  type Network,
  type Node,
  on,
  relu6,
} from "./blocks.ts";

interface Stage {
  readonly repeats: number;
  readonly stride: number;
  readonly expansion: number;
  readonly channels: number;
}

const STAGES: readonly Stage[] = [
  { repeats: 1, stride: 1, expansion: 1, channels: 16 },
  { repeats: 2, stride: 2, expansion: 6, channels: 24 },
  { repeats: 3, stride: 2, expansion: 6, channels: 32 },
  { repeats: 4, stride: 2, expansion: 6, channels: 64 },
  { repeats: 3, stride: 1, expansion: 6, channels: 96 },
  { repeats: 3, stride: 2, expansion: 6, channels: 160 },
  { repeats: 1, stride: 1, expansion: 6, channels: 320 },
];
const STEM_CHANNELS = 32;
const HEAD_CHANNELS = 1280;
const DROPOUT = 0.2;

/** The network's graph on images [n, h, w, 3]. */
export function mobilenetV2(input: Node, { head, dropout = DROPOUT }: BuildOptions): Network {
  const stem = conv("features.0.0", input, { filters: STEM_CHANNELS, kernel: 3, stride: 2 });
  let x = activated("features.0", stem);
  let width = STEM_CHANNELS;
  let number = 1;
  for (const stage of STAGES) {
    for (let repeat = 0; repeat < stage.repeats; repeat++) {
      const stride = repeat === 0 ? stage.stride : 1;
      x = invertedResidual(`features.${number++}`, x, width, { ...stage, stride });
      width = stage.channels;
    }
  }
  const last = `features.${number}`;
  x = activated(last, conv(`${last}.0`, x, { filters: HEAD_CHANNELS, kernel: 1 }));
  x = dropUnits("classifier.0", averagePool("avgpool", x), dropout, 0);
  return { logits: head("classifier.1", x) };
}

/** Widens, filters each channel, narrows again without an activation. */
function invertedResidual(
  name: string,
  x: Node,
  width: number,
  { stride, expansion, channels }: Stage,
): Node {
  let part = 0;
  let y = x;
  if (expansion > 1) {
    const expand = `${name}.conv.${part++}`;
    y = activated(expand, conv(`${expand}.0`, y, { filters: width * expansion, kernel: 1 }));
  }
  const depthwise = `${name}.conv.${part++}`;
  y = activated(depthwise, depthwiseConv(`${depthwise}.0`, y, { kernel: 3, stride }));
  y = conv(`${name}.conv.${part++}`, y, { filters: channels, kernel: 1 });
  y = batchNorm(`${name}.conv.${part}`, y);
  if (stride !== 1 || width !== channels) return y;
  return on(tf.layers.add({ name: `${name}.add` }), [x, y]);
}

/** BatchNorm and ReLU6 behind the convolution `<name>.0`. */
function activated(name: string, x: Node): Node {
  return relu6(`${name}.2`, batchNorm(`${name}.1`, x));
}
