/**
 * Cases of weights that others saved: miniatures of files as training scripts leave them.
 *
 * `scripts/make_weight_fixtures.py cases` makes them in tests/fixtures/cases/weights, and the logits that PyTorch
 * gives.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { UsageError } from "../../src/base/errors.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { type LayersModel, tf } from "../../src/engine/tf.ts";
import { createModel } from "../../src/models/create_model.ts";
import { parametersOf } from "../../src/models/parameters.ts";
import { recognizeArchitecture } from "../../src/models/recognize.ts";
import { loadStateDict } from "../../src/models/state_dict.ts";
import { createUserModel } from "../../src/models/user_model.ts";
import { loadTorchWeights, stateOf } from "../../src/train/load_weights.ts";
import { encodeSafetensors } from "../../src/weights/safetensors.ts";
import type { TorchTensor } from "../../src/weights/torch_tensor.ts";
import type { Case } from "./case.ts";

const FIXTURES = join(import.meta.dirname!, "..", "fixtures", "cases", "weights");
const SIDE = 8;
const NETWORK = `
export const createModel = ({ inputShape, numClasses }, tf) => tf.sequential({ layers: [
  tf.layers.conv2d({ inputShape, filters: 4, kernelSize: 3, useBias: false, name: "conv" }),
  tf.layers.batchNormalization({ epsilon: 1e-5, name: "bn" }),
  tf.layers.reLU({ name: "relu" }),
  tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast", name: "pool" }),
  tf.layers.dense({ units: numClasses, name: "fc" }),
] });
`;

let network: Promise<LayersModel> | undefined;

/** The network that the files are of, with 3 classes. */
function smallNetwork(): Promise<LayersModel> {
  return network ??= makeNetwork();
}

async function makeNetwork(): Promise<LayersModel> {
  await openEngine();
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "model.ts");
    await Deno.writeTextFile(path, NETWORK);
    const settings = { numClasses: 3, inputSize: [SIDE, SIDE] as const, seed: 1 };
    return await createUserModel(pathToFileURL(path).href, settings);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Logits of the fixtures' two images. */
function logitsOf(model: LayersModel): number[] {
  const count = 2 * 3 * SIDE * SIDE;
  const values = Float32Array.from({ length: count }, (_, index) => -1 + 2 * index / (count - 1));
  return tf.tidy(() => {
    const images = tf.transpose(tf.tensor4d(values, [2, 3, SIDE, SIDE]), [0, 2, 3, 1]);
    return [...(model.predict(images) as tf.Tensor).dataSync()];
  });
}

/** A file that is loaded: notes in one line, and how far the logits may be off. */
function loaded(file: string, notes: string | RegExp = "", tolerance = 1e-6): Case {
  return {
    name: file,
    must: notes === "" ? "is loaded" : "is loaded, and says what was taken, taken off or left out",
    run: async () => {
      const model = await smallNetwork();
      model.setWeights(model.getWeights().map((weight) => tf.zerosLike(weight)));
      const report = await loadTorchWeights(model, join(FIXTURES, file));
      const line = (report.notes ?? []).join("; ");
      if (typeof notes === "string") assert.equal(line, notes);
      else assert.match(line, notes);
      const expected = JSON.parse(await Deno.readTextFile(join(FIXTURES, "expected.json"))).flat();
      logitsOf(model).forEach((logit, index) => {
        const error = Math.abs(logit - expected[index]);
        assert.ok(error <= tolerance, `logit ${index} is ${logit}, expected ${expected[index]}`);
      });
    },
  };
}

/** A file that is refused in one sentence, and leaves the model as it was. */
function refused(file: string, reason: RegExp): Case {
  return {
    name: file,
    must: "is refused for a true reason, with the cure",
    run: async () => {
      const model = await smallNetwork();
      const before = logitsOf(model);
      await assert.rejects(loadTorchWeights(model, join(FIXTURES, file)), (error: Error) => {
        assert.ok(error instanceof UsageError, String(error.stack));
        assert.ok(error.message.includes(join(FIXTURES, file)), error.message);
        assert.match(error.message, reason);
        assert.doesNotMatch(error.message, /model\.name|\. [A-Z]|\.$/, "one sentence");
        return true;
      });
      assert.deepEqual(logitsOf(model), before);
    },
  };
}

const HALF = 2e-3;
const BFLOAT16 = 1e-2;

/** Files of others. */
export const CASES: Case[] = [
  loaded("00_plain.pth"),
  loaded("01_module.pth", "taken off the names: module."),
  loaded("02_orig_mod.pth", "taken off the names: _orig_mod."),
  loaded("03_orig_mod_module.pth", "taken off the names: _orig_mod., module."),
  loaded("04_module_orig_mod.pth", "taken off the names: module., _orig_mod."),
  loaded("05_torchvision_reference.pth", "its model is taken"),
  loaded(
    "07_imagenet_example.pth.tar",
    "its state_dict is taken; taken off the names: module.",
  ),
  loaded(
    "08_timm.pth.tar",
    "its state_dict_ema is taken, the averaged weights, not its state_dict",
  ),
  loaded("10_numpy_array.pth", "its state_dict is taken"),
  loaded(
    "11_lightning.ckpt",
    "its state_dict is taken; taken off the names: model.; left out: criterion.weight",
  ),
  loaded("13_half.pth", "", HALF),
  loaded("14_bfloat16.pth", "", BFLOAT16),
  loaded("15_double.pth"),
  loaded("16_channels_last.pth"),
  loaded("17_one_storage.pth"),
  loaded("18_transposed.pth"),
  loaded("19_parameters.pth"),
  refused("20_whole_model.pth", /holds a whole model .*container\.Sequential.*: .*state_dict\(\)/),
  refused("21_torchscript.pt", /is a TorchScript program.*: .*torch\.jit\.load/),
  loaded("22_legacy.pth"),
  loaded("23_protocol4.pth"),
  loaded("24_protocol5.pth"),
  loaded("25_dict_not_ordered.pth"),
  loaded("26_net_key.pth", "its net is taken"),
  loaded("27_model_state_key.pth", "its model_state is taken"),
  refused("29_list.pth", /holds a list, not a state dict: give /),
  refused("30_nan.pth", /tensor fc\.weight holds NaN at \[0, 0\]: give weights that are finite/),
  refused("31_missing_key.pth", /missing: bn\.bias: save the whole model\.state_dict\(\) again/),
  loaded("32_extra_key.pth", "left out: total_ops, conv.total_params"),
  refused("33_empty.pth", /holds an empty state dict: give /),
  loaded("34_device.pth", "its state_dict is taken"),
  loaded("37_defaultdict.pth", "its state_dict is taken"),
  loaded("38_enum_tuple.pth", "its state_dict is taken"),
  loaded("38_protocol5.pth", "its state_dict is taken"),
  refused("39_model_is_module_inside.pth", /holds a whole model as "model" .*: .*state_dict\(\)/),
  refused("40_html.pth", /looks like a web page: .*fetch the file itself/),
  refused("41_lfs.pth", /pointer of Git LFS.*: run git lfs pull/),
  refused("41_lfs.safetensors", /pointer of Git LFS.*: run git lfs pull/),
  refused("42_cut.pth", /is cut short: .*: copy or fetch the whole file again/),
  refused("43_tensorflow.h5", /is an HDF5 file/),
  loaded("44_cuda_tag.pth"),
  loaded("45_extra_state.pth"),
  loaded("50_plain.safetensors"),
  loaded("51_metadata.safetensors"),
  loaded("52_f16.safetensors", "", HALF),
  loaded("53_bf16.safetensors", "", BFLOAT16),
  loaded("54_odd_dtypes_beside.safetensors", /^left out: odd\..* and 1 more$/),
  loaded("54_odd_dtypes_beside.pth", /^left out: odd\..* and 1 more$/),
  loaded("55_module.safetensors", "taken off the names: module."),
  loaded("56_orig_mod.safetensors", "taken off the names: _orig_mod."),
  refused("57_f8.safetensors", /tensor \S+ is float8_e4m3fn, .*: save the weights as float32/),
  refused("57_f8.pth", /tensor \S+ is float8_e4m3fn, .*: save the weights as float32/),
  loaded("58_state_dict_meta.pth", "its state_dict is taken"),
  loaded("59_renamed_to_pth.safetensors"),
  loaded("60_safetensors_named.pth"),
  loaded("61_hf_model.safetensors"),
  loaded("62_pytorch_model.bin"),
  loaded("63_swa.pth", "taken off the names: module.; left out: n_averaged"),
  loaded("64_fp16_plus_int.pth", "", HALF),
  refused("65_sparse.pth", /tensor fc\.weight is sparse, .*: save it dense/),
  loaded("70_two_keys.pth", "its state_dict is taken, not its model"),
  loaded(
    "71_wrapped_inside.pth",
    "taken off the names: module., _fsdp_wrapped_module.",
  ),
  loaded(
    "72_nested.pth",
    "its checkpoint.model is taken; taken off the names: module., encoder.",
  ),
  loaded("73_protocol1.pth", "its state_dict is taken"),
  {
    name: "a state dict with a layer that the network doesn't have",
    must: "is refused: it is of another network",
    run: async () => {
      const state = new Map<string, TorchTensor>(stateOf(parametersOf(await smallNetwork())));
      state.set("fc2.weight", { dtype: "float32", shape: [3, 3], data: new Uint8Array(36) });
      const path = await Deno.makeTempFile();
      try {
        await Deno.writeFile(path, encodeSafetensors(state, {}));
        await assert.rejects(
          loadTorchWeights(await smallNetwork(), path),
          /unexpected: fc2\.weight: give a file whose tensors are named and shaped as those of/,
        );
      } finally {
        await Deno.remove(path);
      }
    },
  },
  {
    name: "weights of a known architecture that is another one",
    must: "name it as model.name's value, whatever the number of classes",
    run: async () => {
      await openEngine();
      const plain = createModel("plain_cnn", { numClasses: 2 });
      for (const name of ["squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "resnet18"] as const) {
        const other = createModel(name, { numClasses: 4 });
        const state = new Map(
          parametersOf(other).map(({ name, torchShape: shape }) => [
            name,
            { shape, read: () => new Float32Array() },
          ]),
        );
        const options = { source: "The file", heads: ["fc"], replaceHead: true };
        assert.throws(() => loadStateDict(plain, state, options), {
          message:
            `The file holds the weights of ${name}, not of plain_cnn: set model.name to ${name}, or give another file`,
        });
        other.dispose();
      }
      plain.dispose();
    },
  },
  {
    name: "architectures by their state dicts",
    must: "be recognized, and a variant with other shapes not",
    run: async () => {
      await openEngine();
      for (const name of ["plain_cnn", "efficientnet_lite0", "densenet121", "resnet34"] as const) {
        const model = createModel(name, { numClasses: 4 });
        const shapes = new Map(parametersOf(model).map((each) => [each.name, each.torchShape]));
        assert.equal(recognizeArchitecture(shapes), name);
        model.dispose();
        shapes.delete([...shapes.keys()][0]);
        assert.equal(recognizeArchitecture(shapes), undefined);
      }
    },
  },
];
