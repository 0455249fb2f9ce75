/**
 * The architectures: how each is built, initialized and named.
 *
 * @module
 */
import { alexnet } from "./alexnet.ts";
import type { Architecture, Initializer } from "./architecture.ts";
import type { ModelName } from "./config.ts";
import { densenet121, densenetWeightName } from "./densenet.ts";
import { efficientnetLite0, publicWeightName } from "./efficientnet_lite.ts";
import { inceptionV3 } from "./inception.ts";
import { mobilenetV2 } from "./mobilenet.ts";
import { plainCnn } from "./plain_cnn.ts";
import { resnet18, resnet34, resnet50 } from "./resnet.ts";
import { squeezenet10, squeezenet11 } from "./squeezenet.ts";
import { vgg11Bn, vgg16Bn } from "./vgg.ts";

const TORCH_DEFAULT: Initializer = { weight: "torchDefault", bias: "torchDefault" };
const KAIMING_NORMAL: Initializer = { weight: "kaimingNormalFanOut", bias: "zeros" };
const NARROW_NORMAL: Initializer = { weight: { std: 0.01 }, bias: "zeros" };

/** The facts that the members of a family have in common. */
const RESNET = {
  initializers: { conv: KAIMING_NORMAL, linear: TORCH_DEFAULT },
  heads: ["fc"],
  linearHead: true,
  inputSize: 224,
  minSize: 1,
} as const;
const VGG = {
  initializers: { conv: KAIMING_NORMAL, linear: NARROW_NORMAL },
  heads: ["classifier.6"],
  linearHead: true,
  inputSize: 224,
  minSize: 32,
} as const;
const SQUEEZENET = {
  initializers: {
    conv: { weight: "kaimingUniformFanIn", bias: "zeros" },
    linear: TORCH_DEFAULT,
    layers: { "classifier.1": NARROW_NORMAL },
  },
  heads: ["classifier.1"],
  linearHead: false,
  inputSize: 224,
} as const;

/** All architectures by name. */
export const ARCHITECTURES: Record<ModelName, Architecture> = {
  alexnet: {
    build: alexnet,
    initializers: { conv: TORCH_DEFAULT, linear: TORCH_DEFAULT },
    heads: ["classifier.6"],
    linearHead: true,
    inputSize: 224,
    minSize: 63,
  },
  densenet121: {
    build: densenet121,
    initializers: {
      conv: { weight: "kaimingNormalFanIn", bias: "zeros" },
      linear: { weight: "torchDefault", bias: "zeros" },
    },
    heads: ["classifier"],
    linearHead: true,
    inputSize: 224,
    minSize: 29,
    renameState: densenetWeightName,
  },
  efficientnet_lite0: {
    build: efficientnetLite0,
    initializers: { conv: KAIMING_NORMAL, linear: { weight: "uniformFanOut", bias: "zeros" } },
    heads: ["classifier.1"],
    linearHead: true,
    inputSize: 224,
    minSize: 1,
    renameState: publicWeightName,
  },
  inception_v3: {
    build: inceptionV3,
    initializers: {
      // torchvision cuts these normal distributions off at ±2, which is 20 standard deviations away.
      conv: { weight: { std: 0.1 }, bias: "zeros" },
      linear: { weight: { std: 0.1 }, bias: "torchDefault" },
      layers: { "AuxLogits.fc": { weight: { std: 0.001 }, bias: "torchDefault" } },
    },
    heads: ["fc", "AuxLogits.fc"],
    linearHead: true,
    inputSize: 299,
    minSize: 75,
    minTrainingSize: 299,
  },
  mobilenet_v2: {
    build: mobilenetV2,
    initializers: { conv: KAIMING_NORMAL, linear: NARROW_NORMAL },
    heads: ["classifier.1"],
    linearHead: true,
    inputSize: 224,
    minSize: 1,
  },
  plain_cnn: {
    build: plainCnn,
    initializers: { conv: TORCH_DEFAULT, linear: TORCH_DEFAULT },
    heads: ["fc"],
    linearHead: true,
    inputSize: 32,
    minSize: 4,
  },
  resnet18: { build: resnet18, ...RESNET },
  resnet34: { build: resnet34, ...RESNET },
  resnet50: { build: resnet50, ...RESNET },
  squeezenet1_0: { build: squeezenet10, ...SQUEEZENET, minSize: 21 },
  squeezenet1_1: { build: squeezenet11, ...SQUEEZENET, minSize: 17 },
  vgg11_bn: { build: vgg11Bn, ...VGG },
  vgg16_bn: { build: vgg16Bn, ...VGG },
};
