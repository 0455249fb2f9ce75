/**
 * Facts about the architectures, for choosing one: sizes, cost and origin. Nothing here loads TensorFlow.
 *
 * @module
 */

/** Names that the catalog has. */
export type CatalogName =
  | "alexnet"
  | "densenet121"
  | "efficientnet_lite0"
  | "inception_v3"
  | "mobilenet_v2"
  | "plain_cnn"
  | "resnet18"
  | "resnet34"
  | "resnet50"
  | "squeezenet1_0"
  | "squeezenet1_1"
  | "vgg11_bn"
  | "vgg16_bn";

/** The publication of an architecture. */
export interface Paper {
  /** Such as `He et al. 2015`. */
  readonly authors: string;
  readonly title: string;
  /** arXiv's number. */
  readonly arxiv: string;
}

/** The facts about an architecture. */
export interface ModelFacts {
  /** Parameters with 1000 classes, the auxiliary classifier's included; running statistics don't count. */
  readonly parameters: number;
  /** Those of the auxiliary classifier, which counts in training only, with 1000 classes. */
  readonly auxiliaryParameters?: number;
  /**
   * Multiplications, each with its addition, in the convolutions and linear layers for one image of `inputSize`,
   * with 1000 classes and without the auxiliary classifier: what torchvision's metadata calls GFLOPs, times 10^9.
   */
  readonly multiplyAdds: number;
  /** Side of the images that it was designed for, in pixels. */
  readonly inputSize: number;
  /** The last layer, with a weight per feature and a bias for each class. */
  readonly head: { readonly name: string; readonly features: number };
  readonly paper?: Paper;
}

/** Number of classes of ImageNet, which the counts are for. */
export const CATALOG_CLASSES = 1000;

const RESNET: Paper = {
  authors: "He et al. 2015",
  title: "Deep Residual Learning for Image Recognition",
  arxiv: "1512.03385",
};
const VGG: Paper = {
  authors: "Simonyan and Zisserman 2014",
  title: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
  arxiv: "1409.1556",
};
const SQUEEZENET: Paper = {
  authors: "Iandola et al. 2016",
  title: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
  arxiv: "1602.07360",
};

/** All architectures by name. */
export const CATALOG: Readonly<Record<CatalogName, ModelFacts>> = {
  alexnet: {
    parameters: 61_100_840,
    multiplyAdds: 714_188_480,
    inputSize: 224,
    head: { name: "classifier.6", features: 4096 },
    paper: {
      authors: "Krizhevsky 2014",
      title: "One weird trick for parallelizing convolutional neural networks",
      arxiv: "1404.5997",
    },
  },
  densenet121: {
    parameters: 7_978_856,
    multiplyAdds: 2_834_161_664,
    inputSize: 224,
    head: { name: "classifier", features: 1024 },
    paper: {
      authors: "Huang et al. 2016",
      title: "Densely Connected Convolutional Networks",
      arxiv: "1608.06993",
    },
  },
  efficientnet_lite0: {
    parameters: 4_652_008,
    multiplyAdds: 385_187_552,
    inputSize: 224,
    head: { name: "classifier.1", features: 1280 },
    paper: {
      authors: "Tan and Le 2019",
      title: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
      arxiv: "1905.11946",
    },
  },
  inception_v3: {
    parameters: 27_161_264,
    auxiliaryParameters: 3_326_696,
    multiplyAdds: 5_713_216_096,
    inputSize: 299,
    head: { name: "fc", features: 2048 },
    paper: {
      authors: "Szegedy et al. 2015",
      title: "Rethinking the Inception Architecture for Computer Vision",
      arxiv: "1512.00567",
    },
  },
  mobilenet_v2: {
    parameters: 3_504_872,
    multiplyAdds: 300_774_272,
    inputSize: 224,
    head: { name: "classifier.1", features: 1280 },
    paper: {
      authors: "Sandler et al. 2018",
      title: "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
      arxiv: "1801.04381",
    },
  },
  plain_cnn: {
    parameters: 88_584,
    multiplyAdds: 2_865_664,
    inputSize: 32,
    head: { name: "fc", features: 64 },
  },
  resnet18: {
    parameters: 11_689_512,
    multiplyAdds: 1_814_073_344,
    inputSize: 224,
    head: { name: "fc", features: 512 },
    paper: RESNET,
  },
  resnet34: {
    parameters: 21_797_672,
    multiplyAdds: 3_663_761_408,
    inputSize: 224,
    head: { name: "fc", features: 512 },
    paper: RESNET,
  },
  resnet50: {
    parameters: 25_557_032,
    multiplyAdds: 4_089_184_256,
    inputSize: 224,
    head: { name: "fc", features: 2048 },
    paper: RESNET,
  },
  squeezenet1_0: {
    parameters: 1_248_424,
    multiplyAdds: 818_924_576,
    inputSize: 224,
    head: { name: "classifier.1", features: 512 },
    paper: SQUEEZENET,
  },
  squeezenet1_1: {
    parameters: 1_235_496,
    multiplyAdds: 349_151_936,
    inputSize: 224,
    head: { name: "classifier.1", features: 512 },
    paper: SQUEEZENET,
  },
  vgg11_bn: {
    parameters: 132_868_840,
    multiplyAdds: 7_609_090_048,
    inputSize: 224,
    head: { name: "classifier.6", features: 4096 },
    paper: VGG,
  },
  vgg16_bn: {
    parameters: 138_365_992,
    multiplyAdds: 15_470_264_320,
    inputSize: 224,
    head: { name: "classifier.6", features: 4096 },
    paper: VGG,
  },
};

/** Parameters of an architecture's last layer with this number of classes. */
export function headParameters({ head }: ModelFacts, classes: number): number {
  return (head.features + 1) * classes;
}
