/**
 * Checks exports for torchvision against PyTorch itself: each architecture is exported with synthetic weights, loaded
 * by torchvision with `strict=True`, and its logits are compared.
 *
 * ```sh
 * deno run -A scripts/check_torchvision_export.ts --python .venv/bin/python resnet18 alexnet
 * ```
 *
 * The Python needs torch, torchvision and safetensors. Without names all architectures are checked that torchvision
 * has. resnet18 is checked with a head of several layers too.
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { openEngine } from "../src/engine/engine.ts";
import { tf } from "../src/engine/tf.ts";
import { exportRun } from "../src/export/export_run.ts";
import { applyModel } from "../src/models/heads.ts";
import { ARCHITECTURES, MODEL_NAMES, type ModelName } from "../src/models/registry.ts";
import { type HeadInput, headSchema } from "../src/models/head_specs.ts";
import { loadCheckpoint } from "../src/inference/load_checkpoint.ts";
import { encodeSafetensors } from "../src/weights/safetensors.ts";
import { deterministicValues } from "../tests/support/deterministic_fill.ts";
import { filledModel, madeConfig, writeRun } from "../tests/support/filled_run.ts";
import { succeeds } from "./children.ts";

const CLASSES = ["a", "b <c>", "d"];
const IMAGES = 2;
const HEAD: HeadInput = [
  { Linear: 20 },
  "ReLU",
  { Dropout: 0.3 },
  { Linear: "classes" },
  "LogSoftmax",
];

/** Exports a model, and writes some images with their logits beside it. */
async function writeSample(folder: string, name: ModelName, head?: HeadInput): Promise<void> {
  const side = Math.max(ARCHITECTURES[name].minSize, 64);
  const config = madeConfig({ name, transformInput: true, ...(head ? { head } : {}) }, side);
  if (head) config.train.loss = "nll"; // the head ends in LogSoftmax
  const made = filledModel(name, {
    numClasses: CLASSES.length,
    transformInput: true,
    ...(head ? { head: headSchema.parse(head) } : {}),
  });
  await writeRun(folder, config, made, CLASSES);
  made.dispose();
  const formats = ["torchvision"] as const;
  await exportRun({ run: folder, checkpoint: "best", formats, out: folder, verbose: false });

  const { model } = await loadCheckpoint(join(folder, "checkpoints", "best"));
  const shape = [IMAGES, side, side, 3];
  const images = deterministicValues("images", IMAGES * side * side * 3);
  const logits = tf.tidy(() =>
    applyModel(model, tf.tensor(images, shape), false)[0].dataSync<"float32">()
  );
  model.dispose();
  const tensor = (shape: number[], values: Float32Array) => ({
    dtype: "float32" as const,
    shape,
    data: new Uint8Array(values.buffer),
  });
  const samples = new Map([
    ["images", tensor(shape, images)],
    ["logits", tensor([IMAGES, CLASSES.length], logits)],
  ]);
  await Deno.writeFile(join(folder, "logits.safetensors"), encodeSafetensors(samples, {}));
}

async function check(python: string, name: ModelName, head?: HeadInput): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "lockstep-export-" });
  try {
    await writeSample(folder, name, head);
    const script = new URL("check_torchvision_export.py", import.meta.url).pathname;
    return await succeeds(python, { args: [script, folder] });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const { python = "python3", _: named } = parseArgs(Deno.args, { string: ["python"] });
  const names = named.length > 0 ? named : MODEL_NAMES.filter((name) => !isOwn(name));
  await openEngine();
  const results: boolean[] = [];
  for (const name of names as ModelName[]) results.push(await check(String(python), name));
  if (names.includes("resnet18")) results.push(await check(String(python), "resnet18", HEAD));
  if (results.includes(false)) Deno.exit(1);
}

/** Tells whether torchvision lacks a model. */
function isOwn(name: ModelName): boolean {
  return name === "plain_cnn" || name === "efficientnet_lite0";
}
