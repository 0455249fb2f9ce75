/**
 * Draws a model's first weights, from the distributions that torchvision draws them from.
 *
 * @module
 */
import { randomSeed } from "../base/random.ts";
import { seededNormal, seededUniform } from "../engine/random_ops.ts";
import { tf } from "../engine/tf.ts";
import { type Parameter, parametersOf } from "./parameters.ts";
import type { Architecture, Initializer } from "./registry.ts";

/**
 * Sets all weights of a model.
 *
 * @param isNew Whether a layer is drawn as PyTorch draws a new `nn.Linear`, the way it is replaced in pretrained
 * networks, and not as the architecture draws its own
 */
export function initialize(
  model: tf.LayersModel,
  { initializers }: Architecture,
  seed: number,
  isNew: (layer: string) => boolean,
): void {
  const parameters = parametersOf(model);
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  for (const parameter of parameters) {
    const layer = parameter.name.slice(0, parameter.name.lastIndexOf("."));
    const weight = byName.get(`${layer}.weight`);
    if (!weight || weight.kind === "vector") continue; // BatchNorm is right as it is made
    const own = weight.kind === "linear" ? initializers.linear : initializers.conv;
    const initializer = isNew(layer) ? "torchDefault" : own;
    const value = draw(parameter, weight, initializer, randomSeed(seed, "init", parameter.name));
    parameter.variable.assign(value);
    value.dispose();
  }
}

function draw(
  { variable, kind }: Parameter,
  weight: Parameter,
  initializer: Initializer,
  seed: number,
): tf.Tensor {
  const [out, ...rest] = weight.torchShape; // [out, in, h, w] or [out, in]
  const fanIn = rest.reduce((product, size) => product * size, 1);
  const isBias = kind === "vector";
  switch (initializer) {
    case "kaimingNormalFanOut": {
      const fanOut = out * fanIn / rest[0];
      return isBias
        ? tf.zeros(variable.shape)
        : seededNormal(variable.shape, Math.sqrt(2 / fanOut), seed);
    }
    case "torchDefault":
      return seededUniform(variable.shape, 1 / Math.sqrt(fanIn), seed);
    case "uniformFanOut":
      return isBias
        ? tf.zeros(variable.shape)
        : seededUniform(variable.shape, 1 / Math.sqrt(out), seed);
  }
}
