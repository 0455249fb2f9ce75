/**
 * Draws a model's first weights, from the distributions that torchvision draws them from.
 *
 * @module
 */
import { randomSeed } from "../base/random.ts";
import { seededNormal, seededUniform } from "../engine/random_ops.ts";
import { tf } from "../engine/tf.ts";
import type { Architecture, Distribution, Initializer } from "./architecture.ts";
import { type Parameter, parametersOf } from "./parameters.ts";

/** The distributions from which PyTorch initializes a new `nn.Linear` or `nn.Conv2d`. */
const TORCH_DEFAULT: Initializer = { weight: "torchDefault", bias: "torchDefault" };

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
    const ofKind = weight.kind === "linear" ? initializers.linear : initializers.conv;
    const own = initializers.layers?.[layer] ?? ofKind;
    const initializer = isNew(layer) ? TORCH_DEFAULT : own;
    const distribution = initializer[parameter.kind === "vector" ? "bias" : "weight"];
    const value = draw(parameter, weight, distribution, randomSeed(seed, "init", parameter.name));
    parameter.variable.assign(value);
    value.dispose();
  }
}

function draw(
  { variable: { shape } }: Parameter,
  weight: Parameter,
  distribution: Distribution | "zeros",
  seed: number,
): tf.Tensor {
  if (distribution === "zeros") return tf.zeros(shape);
  const [out, ...rest] = weight.torchShape; // [out, in, h, w] or [out, in]
  const fanIn = rest.reduce((product, size) => product * size, 1);
  const fans = { fanIn, fanOut: out * fanIn / rest[0] };
  if (distribution === "torchDefault") return seededUniform(shape, 1 / Math.sqrt(fanIn), seed);
  if (distribution === "uniformFanOut") return seededUniform(shape, 1 / Math.sqrt(out), seed);
  if ("std" in distribution) return seededNormal(shape, distribution.std, seed);
  if ("normal" in distribution) {
    return seededNormal(shape, Math.sqrt(distribution.normal / fans[distribution.over]), seed);
  }
  const bound = Math.sqrt(3 * distribution.uniform / fans[distribution.over]);
  return seededUniform(shape, bound, seed);
}
