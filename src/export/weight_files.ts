/**
 * Exports as safetensors: with Lockstep's own names, and as a state dict of torchvision's model.
 *
 * @module
 */
import { ARCHITECTURES, type ModelName } from "../models/registry.ts";
import type { HeadLayer } from "../models/head_specs.ts";
import { countTensor } from "../train/load_weights.ts";
import { encodeSafetensors } from "../weights/safetensors.ts";
import type { NamedTensors, TorchTensor } from "../weights/torch_tensor.ts";
import type { ExportSource, ModelFacts } from "./source.ts";

/** A model's parameters and buffers as Lockstep names them. */
export function lockstepFile({ state, facts }: ExportSource): Uint8Array {
  return encodeSafetensors(state, metadataOf(facts));
}

/**
 * A state dict that the model of {@linkcode pythonModel} loads with `strict=True`: Lockstep's names are torchvision's,
 * and each BatchNorm has the number of its batches, 0 where a checkpoint of an older Lockstep doesn't say it.
 */
export function torchvisionFile({ state, facts }: ExportSource): Uint8Array {
  return encodeSafetensors(torchvisionState(state), {
    ...metadataOf(facts),
    python: pythonModel(facts, state),
  });
}

/** Returns the state dict that {@linkcode torchvisionFile} writes. */
export function torchvisionState(state: NamedTensors): Map<string, TorchTensor> {
  return new Map(
    [...state].flatMap(([name, tensor]): [string, TorchTensor][] => {
      const layer = /^(.*)\.running_var$/.exec(name)?.[1];
      const count = `${layer}.num_batches_tracked`;
      return layer === undefined || state.has(count)
        ? [[name, tensor]]
        : [[name, tensor], [count, countTensor(0)]];
    }),
  );
}

/** Returns strings for a safetensors header; other values are written as JSON. */
function metadataOf(facts: ModelFacts): Record<string, string> {
  const { lockstep, name, run, architecture, classes, preprocessing, checkpoint } = facts;
  return {
    format: "pt",
    lockstep,
    name,
    run,
    model: architecture.name,
    architecture: JSON.stringify(architecture),
    classes: JSON.stringify(classes),
    preprocessing: JSON.stringify(preprocessing),
    checkpoint: JSON.stringify(checkpoint),
  };
}

/** Architectures of which torchvision has no model. */
const NOT_IN_TORCHVISION = new Set(["efficientnet_lite0", "plain_cnn"]);

/** Tells whether torchvision has a model that takes the state dict. */
export function isInTorchvision({ architecture }: ModelFacts): boolean {
  return architecture.module === undefined && !NOT_IN_TORCHVISION.has(architecture.name);
}

interface ArchitectureFacts {
  readonly name: string;
  readonly numClasses: number;
  readonly head?: readonly HeadLayer[];
  readonly transformInput?: boolean;
}

/** Python statements that make torchvision's model, called `model`; empty where it has none. */
export function pythonModel(facts: ModelFacts, state: NamedTensors): string {
  if (!isInTorchvision(facts)) return "";
  const { name, numClasses, head, transformInput } = facts.architecture as ArchitectureFacts;
  const more = name === "inception_v3"
    ? `, init_weights=False, transform_input=${transformInput ? "True" : "False"}`
    : "";
  const model = `model = torchvision.models.${name}(num_classes=${numClasses}${more})`;
  if (!head) return model;
  const [place] = ARCHITECTURES[name as ModelName].heads;
  const layers = head.map((layer, index) =>
    pythonLayer(layer, state.get(`${place}.${index}.weight`))
  );
  return `${model}\nmodel.${place.replace(/\.(\d+)$/, "[$1]")} = torch.nn.Sequential(${
    layers.map((layer) => `torch.nn.${layer}`).join(", ")
  })`;
}

function pythonLayer(layer: HeadLayer, weight: TorchTensor | undefined): string {
  if ("Linear" in layer) {
    const [out, features] = weight!.shape;
    return `Linear(${features}, ${out})`;
  }
  if ("Dropout" in layer) return `Dropout(${layer.Dropout.p})`;
  return "ReLU" in layer ? "ReLU()" : "LogSoftmax(dim=1)";
}
