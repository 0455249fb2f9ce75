/**
 * Recognizes the architecture of a state dict, for the cure where the architecture isn't the expected one.
 *
 * @module
 */
import type { ModelName } from "./config.ts";
import { isPartOf } from "./heads.ts";
import { ARCHITECTURES } from "./registry.ts";

/** A state dict's marks: how many parameters and buffers it has without its heads, and the shape of one. */
interface Marks {
  readonly tensors: number;
  readonly name: string;
  readonly shape: readonly number[];
}

const MARKS: Readonly<Record<ModelName, Marks>> = {
  alexnet: { tensors: 14, name: "features.0.weight", shape: [64, 3, 11, 11] },
  densenet121: { tensors: 604, name: "features.conv0.weight", shape: [64, 3, 7, 7] },
  efficientnet_lite0: { tensors: 245, name: "features.0.0.weight", shape: [32, 3, 3, 3] },
  inception_v3: { tensors: 480, name: "Conv2d_1a_3x3.conv.weight", shape: [32, 3, 3, 3] },
  mobilenet_v2: { tensors: 260, name: "features.0.0.weight", shape: [32, 3, 3, 3] },
  plain_cnn: { tensors: 6, name: "conv3.weight", shape: [64, 32, 3, 3] },
  resnet18: { tensors: 100, name: "layer4.1.conv2.weight", shape: [512, 512, 3, 3] },
  resnet34: { tensors: 180, name: "layer4.2.conv2.weight", shape: [512, 512, 3, 3] },
  resnet50: { tensors: 265, name: "layer4.2.conv2.weight", shape: [512, 512, 3, 3] },
  squeezenet1_0: { tensors: 50, name: "features.0.weight", shape: [96, 3, 7, 7] },
  squeezenet1_1: { tensors: 50, name: "features.0.weight", shape: [64, 3, 3, 3] },
  vgg11_bn: { tensors: 52, name: "features.0.weight", shape: [64, 3, 3, 3] },
  vgg16_bn: { tensors: 82, name: "features.0.weight", shape: [64, 3, 3, 3] },
};

/** BatchNorm's count of batches, which old files don't have. */
const BATCH_COUNT = /\.num_batches_tracked$/;

/** Returns the architecture whose body a state dict has, whatever its last layers are; `undefined` for others. */
export function recognizeArchitecture(
  shapes: ReadonlyMap<string, readonly number[]>,
): ModelName | undefined {
  return (Object.keys(MARKS) as ModelName[]).find((model) => {
    const { tensors, name: marked, shape } = MARKS[model];
    const { heads, renameState = (name: string) => name } = ARCHITECTURES[model];
    const own = new Map([...shapes].map(([name, value]) => [renameState(name), value]));
    if (own.get(marked)?.join() !== shape.join()) return false;
    const body = [...own.keys()].filter((name) =>
      !isPartOf(name, heads) && !BATCH_COUNT.test(name)
    );
    return body.length === tensors;
  });
}
