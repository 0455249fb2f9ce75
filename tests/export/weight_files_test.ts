import { deepEqual, equal } from "node:assert/strict";
import { openEngine } from "../../src/engine/engine.ts";
import type { ModelFacts } from "../../src/export/source.ts";
import { lockstepFile, pythonModel, torchvisionFile } from "../../src/export/weight_files.ts";
import { type HeadInput, headSchema } from "../../src/models/head_specs.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { decodeSafetensors } from "../../src/weights/safetensors.ts";
import type { NamedTensors, TorchTensor } from "../../src/weights/torch_tensor.ts";
import { filledModel } from "../support/filled_run.ts";
import { stateOf } from "../../src/train/load_weights.ts";

await openEngine();

function factsOf(name: string, more: Record<string, unknown> = {}): ModelFacts {
  return {
    lockstep: "0.0.0",
    name: "a run",
    run: "2026-a-run",
    architecture: { name, numClasses: 3, ...more },
    classes: ["a", 'b"<c>', "ü"],
    preprocessing: { height: 8, width: 9, transforms: [{ Resize: { size: [8, 9] } }] },
    checkpoint: { epoch: 3, step: 4, accuracy: 0.5 },
  };
}

Deno.test("torchvisionFile() and lockstepFile() hold the values, and tell what the model is", () => {
  const model = filledModel("plain_cnn", { numClasses: 3 });
  const state = stateOf(parametersOf(model));
  const facts = factsOf("plain_cnn");
  const source = { model, state, facts, size: [8, 9] as [number, number] };
  for (const bytes of [lockstepFile(source), torchvisionFile(source)]) {
    const { tensors, metadata } = decodeSafetensors(bytes, "export");
    deepEqual([...tensors.keys()], [...state.keys()]);
    for (const [name, { data }] of state) deepEqual(tensors.get(name)!.data, data);
    equal(metadata.model, "plain_cnn");
    equal(metadata.format, "pt");
    deepEqual(JSON.parse(metadata.classes), facts.classes);
    deepEqual(JSON.parse(metadata.preprocessing), facts.preprocessing);
    deepEqual(JSON.parse(metadata.checkpoint), facts.checkpoint);
  }
  model.dispose();
});

Deno.test("pythonModel() writes what makes torchvision's model", () => {
  const none: NamedTensors = new Map();
  equal(pythonModel(factsOf("plain_cnn"), none), "");
  equal(
    pythonModel(factsOf("resnet18"), none),
    "model = torchvision.models.resnet18(num_classes=3)",
  );
  equal(
    pythonModel(factsOf("inception_v3", { transformInput: true }), none),
    "model = torchvision.models.inception_v3(num_classes=3, init_weights=False, transform_input=True)",
  );
  const layers: HeadInput = [
    { Linear: 5 },
    "ReLU",
    { Dropout: 0.25 },
    { Linear: "classes" },
    "LogSoftmax",
  ];
  const head = headSchema.parse(layers);
  const weight = (shape: number[]): TorchTensor => ({
    dtype: "float32",
    shape,
    data: new Uint8Array(),
  });
  const state = new Map([
    ["classifier.6.0.weight", weight([5, 4096])],
    ["classifier.6.3.weight", weight([3, 5])],
  ]);
  equal(
    pythonModel(factsOf("alexnet", { head }), state),
    "model = torchvision.models.alexnet(num_classes=3)\n" +
      "model.classifier[6] = torch.nn.Sequential(torch.nn.Linear(4096, 5), torch.nn.ReLU(), " +
      "torch.nn.Dropout(0.25), torch.nn.Linear(5, 3), torch.nn.LogSoftmax(dim=1))",
  );
});
