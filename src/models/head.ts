/**
 * Builds heads of several layers.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { linear, type Node, on, relu } from "./blocks.ts";
import type { HeadLayer } from "./head_specs.ts";
import { Dropout, LogSoftmax } from "./layers.ts";

/** Sets the masks of a head's Dropout layers apart from those of the architectures' own. */
const FIRST_SALT = 1_000;

/**
 * Puts a head on features; its layers are named as in an `nn.Sequential`: `classifier.0`, `classifier.1` ….
 *
 * @param name Name of the head, such as `classifier`
 * @param features [n, features]
 * @returns [n, classes]
 * @throws {UsageError} when a Linear layer's sizes don't fit its input, or the last one's the classes
 */
export function buildHead(
  name: string,
  features: Node,
  layers: readonly HeadLayer[],
  classes: number,
): Node {
  const lastLinear = layers.findLastIndex((layer) => "Linear" in layer);
  return layers.reduce((x, layer, index) => {
    const own = `${name}.${index}`;
    if ("ReLU" in layer) return relu(own, x);
    if ("LogSoftmax" in layer) return on(new LogSoftmax({ name: own }), x);
    if ("Dropout" in layer) {
      return on(new Dropout({ name: own, rate: layer.Dropout.p, salt: FIRST_SALT + index }), x);
    }
    const { inFeatures, outFeatures } = layer.Linear;
    const width = x.shape.at(-1);
    if (inFeatures !== undefined && inFeatures !== width) {
      throw new UsageError(
        `model.head[${index}]: Linear takes ${inFeatures} features, but ${width} come in: ` +
          `write { Linear: [${width}, ${outFeatures}] }, or leave the first number out`,
      );
    }
    const units = outFeatures === "classes" ? classes : outFeatures;
    if (index === lastLinear && units !== classes) {
      throw new UsageError(
        `model.head[${index}]: the last Linear gives ${units} outputs, but there are ${classes} classes: ` +
          "write { Linear: classes }",
      );
    }
    return linear(own, x, units);
  }, features);
}
