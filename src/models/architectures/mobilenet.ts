/**
 * MobileNetV2 as torchvision builds it (Sandler et al. 2018, arXiv:1801.04381).
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** MobileNetV2. */
export const mobilenet_v2 = {
  build,
  initializers: {
    conv: { weight: { normal: 2, over: "fanOut" }, bias: "zeros" },
    linear: { weight: { std: 0.01 }, bias: "zeros" },
  },
  heads: ["classifier.1"],
  headFeatures: 1280,
  linearHead: true,
  inputSize: 224,
  minSize: 1,
  parameters: 3_504_872,
  multiplyAdds: 300_774_272,
  fingerprint: { tensors: 260, name: "features.0.0.weight", shape: [32, 3, 3, 3] },
  weights: {
    licence: "BSD-3-Clause",
    v1: { file: "mobilenet_v2-b0353104.pth", mebibytes: 13.555 },
    v2: { file: "mobilenet_v2-7ebf99e0.pth", mebibytes: 13.598 },
  },
  paper: {
    authors: "Sandler et al. 2018",
    title: "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    arxiv: "1801.04381",
  },
} as const satisfies Architecture;

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
function build(nn: Blocks, input: Node, { head, dropout = DROPOUT }: BuildOptions): Network {
  const stem = nn.conv("features.0.0", input, { filters: STEM_CHANNELS, kernel: 3, stride: 2 });
  let x = activated(nn, "features.0", stem);
  let width = STEM_CHANNELS;
  let number = 1;
  for (const stage of STAGES) {
    for (let repeat = 0; repeat < stage.repeats; repeat++) {
      const stride = repeat === 0 ? stage.stride : 1;
      x = invertedResidual(nn, `features.${number++}`, x, width, { ...stage, stride });
      width = stage.channels;
    }
  }
  const last = `features.${number}`;
  x = activated(nn, last, nn.conv(`${last}.0`, x, { filters: HEAD_CHANNELS, kernel: 1 }));
  x = nn.dropUnits("classifier.0", nn.averagePool("avgpool", x), dropout, 0);
  return { logits: head("classifier.1", x) };
}

/** Widens, filters each channel, narrows again without an activation. */
function invertedResidual(
  nn: Blocks,
  name: string,
  x: Node,
  width: number,
  { stride, expansion, channels }: Stage,
): Node {
  let part = 0;
  let y = x;
  if (expansion > 1) {
    const expand = `${name}.conv.${part++}`;
    y = activated(nn, expand, nn.conv(`${expand}.0`, y, { filters: width * expansion, kernel: 1 }));
  }
  const depthwise = `${name}.conv.${part++}`;
  y = activated(nn, depthwise, nn.depthwiseConv(`${depthwise}.0`, y, { kernel: 3, stride }));
  y = nn.conv(`${name}.conv.${part++}`, y, { filters: channels, kernel: 1 });
  y = nn.batchNorm(`${name}.conv.${part}`, y);
  if (stride !== 1 || width !== channels) return y;
  return nn.add(`${name}.add`, [x, y]);
}

/** BatchNorm and ReLU6 behind the convolution `<name>.0`. */
function activated(nn: Blocks, name: string, x: Node): Node {
  return nn.relu6(`${name}.2`, nn.batchNorm(`${name}.1`, x));
}
