import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { type CommandHelp, parseFlags } from "../../src/commands/flags.ts";
import {
  dataPlace,
  type KeyFlagName,
  keyFlags,
  keySettings,
} from "../../src/commands/key_flags.ts";
import { parseConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const KEYS: readonly KeyFlagName[] = [
  "data",
  "model",
  "epochs",
  "batch-size",
  "lr",
  "image-size",
  "device",
  "workers",
  "nats",
  "dashboard",
];
const SET = { name: "set", value: "KEY=VALUE", many: true, help: "" };
const COMMAND: CommandHelp = { name: "train", summary: "", flags: [SET, ...keyFlags(KEYS)] };

const NORMALIZE = "{ Normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } }";
const FILE = `
model: { name: resnet18, weights: none }
data:
  root: photos
  train: [{ RandomResizedCrop: { size: 160, scale: [0.5, 1] } }, RandomHorizontalFlip, ${NORMALIZE}]
  val: [{ Resize: 176 }, { CenterCrop: 160 }, ${NORMALIZE}]
train: { epochs: 2, batchSizePerWorker: 8 }
`;

/** The config that flags make of a file, and what is noted. */
async function read(args: string[], file = FILE) {
  const flags = parseFlags(COMMAND, args);
  const sets = flags.all("set").map(parseOverride);
  const { overrides, imageSize } = await keySettings(flags, KEYS, sets);
  const notes: string[] = [];
  const config = parseConfig(file, "x.yaml", overrides, {
    onNote: (note) => notes.push(note),
    ...(imageSize ? { imageSize } : {}),
  });
  return { config, notes };
}

async function refused(args: string[], message: string | RegExp, file = FILE): Promise<void> {
  const wanted = typeof message === "string" ? new UsageError(message) : message;
  await assert.rejects(read(args, file), wanted, args.join(" "));
}

Deno.test("flags are short for keys", async () => {
  const { config, notes } = await read([
    ...["--data", "my photos", "--model", "vgg11_bn", "--epochs", "7", "--batch-size=12"],
    ...["--lr", "1e-3", "--device", "cpu", "-w", "3", "--dashboard", "8080"],
  ]);
  assert.ok(config.data.root!.endsWith("my photos"));
  assert.equal(config.model.name, "vgg11_bn");
  assert.deepEqual([config.train.epochs, config.train.batchSize, config.train.lr], [7, 12, 0.001]);
  assert.deepEqual([config.device, config.workers], ["cpu", 3]);
  assert.equal((config.dashboard as { port?: number }).port, 8080);
  assert.deepEqual(notes, [
    "train.batchSize is now 12: left out of x.yaml, since it doesn't go with that: train.batchSizePerWorker (8)",
  ]);
});

Deno.test("--lr reads numbers in the usual spellings and refuses others", async () => {
  const good: Record<string, number> = {
    ...{ ".5": 0.5, "1e-3": 0.001, "1E-3": 0.001, "0.010": 0.01, "+1": 1, "5.": 5, "0": 0 },
  };
  for (const [text, value] of Object.entries(good)) {
    assert.equal((await read(["--lr", text])).config.train.lr, value, text);
  }
  for (
    const text of ["1_000", "0,01", "1/3", "0x10", "ten", "NaN", "Infinity", "1e999", " ", "1e"]
  ) {
    await refused(["--lr", text], `--lr is ${text}: give a number, such as 0.01 or 1e-3`);
  }
});

Deno.test("errors blame the flag that was typed", async () => {
  await refused(["--epochs", "0"], "--epochs is 0: give a whole number of at least 1");
  await refused(["--epochs", "2000000"], /^UsageError: --epochs: train\.epochs is 2000000: /);
  await refused(
    ["--batch-size", "1_000"],
    /^UsageError: --batch-size is 1_000: give a whole number/,
  );
  await refused(["--lr", "-1"], /^UsageError: --lr: train\.lr is -1: /);
  await refused(
    ["--model", "resnet81"],
    /^UsageError: --model: model\.name is "resnet81": .*did you mean resnet18\?$/,
  );
  await refused(
    ["--device", "gpus"],
    /^UsageError: --device: device is "gpus": .*did you mean gpu\?$/,
  );
  await refused(["-w", "0"], /^UsageError: -w is 0: give a whole number/);
  await refused(["--image-size", "0"], /^UsageError: --image-size is 0: give a whole number/);
  await refused(
    ["--image-size", "70000"],
    /^UsageError: --image-size: data\.train\.0.*at most 65535 pixels/,
  );
  await refused(["--data", ""], "--data needs a value");
});

Deno.test("a flag and --set of one key may not differ", async () => {
  await refused(
    ["--epochs", "5", "--set", "train.epochs=10"],
    "--epochs gives train.epochs the value 5, and --set train.epochs gives it 10: leave one of them out",
  );
  await refused(
    ["--set", "workers=2", "-w", "3"],
    /^UsageError: -w gives workers the value 3, and --set/,
  );
  await assert.rejects(
    read(["--nats", "nats://me:hidden@a:4222", "--set", "nats.url=nats://me:hidden@b:4222"]),
    (error: Error) =>
      /--nats gives nats\.url/.test(error.message) && !error.message.includes("hidden"),
  );
  const { config } = await read(["--epochs", "5", "--set", "train.epochs=5"]);
  assert.equal(config.train.epochs, 5);
});

Deno.test("names of other tools are answered with Lockstep's", () => {
  const names = {
    ...{ "--batch": "batch-size", "--learning-rate": "lr", "--learning_rate": "lr" },
    ...{
      "--imgsz": "image-size",
      "--num-workers": "workers",
      "--arch": "model",
      "--epoch": "epochs",
    },
    ...{ "--img_size": "image-size", "--batchSize": "batch-size", "--num_epochs": "epochs" },
    ...{ "--data_dir": "data", "--imagesize": "image-size", "-epochs": "epochs" },
  };
  for (const [typed, name] of Object.entries(names)) {
    assert.throws(
      () => parseFlags(COMMAND, [typed, "1"]),
      new UsageError(`Unknown flag ${typed} of train: did you mean --${name}?`),
    );
  }
});

Deno.test("--image-size scales the transforms of training and validation by one factor", async () => {
  const { config: { data } } = await read(["--image-size", "224"]);
  assert.deepEqual(data.train[0], {
    RandomResizedCrop: { size: [224, 224], scale: [0.5, 1], ratio: [3 / 4, 4 / 3] },
  });
  assert.deepEqual(data.val.slice(0, 2), [{ Resize: { size: 246 } }, {
    CenterCrop: { size: [224, 224] },
  }]);
  assert.deepEqual((await read(["--image-size", "160"])).config.data, (await read([])).config.data);

  const tiny = FILE.replace("root: photos", "root: photos\n  format: cifar10")
    .replace(/train: \[.*\]/, `train: [{ Pad: 4 }, { RandomCrop: 32 }, ${NORMALIZE}]`)
    .replace(/val: \[.*\]/, `val: [{ CenterCrop: 32 }, ${NORMALIZE}]`);
  const cifar = (await read(["--image-size", "96"], tiny)).config.data;
  assert.deepEqual(cifar.train.slice(0, 2), [
    { Resize: { size: [96, 96] } },
    { Pad: { padding: [12, 12, 12, 12], fill: [0, 0, 0], paddingMode: "constant" } },
  ]);
  assert.deepEqual(cifar.val.slice(0, 2), [{ Resize: { size: [96, 96] } }, {
    CenterCrop: { size: [96, 96] },
  }]);
});

Deno.test("--image-size is refused where it can't be honoured", async () => {
  await refused(
    ["--image-size", "224", "--set", "data.val.1.CenterCrop=192"],
    "--image-size asks for images of 224 pixels, and --set data.val.1.CenterCrop for 192 × 192: leave one of them out",
  );
  const { config: { data } } = await read([
    "--image-size",
    "224",
    "--set",
    "data.val.0.Resize=160",
  ]);
  assert.deepEqual(data.val[0], { Resize: { size: 224 } }, "the ratio that was typed");
  const crops = FILE.replace(/val: \[.*\]/, `val: [{ CenterCrop: 32 }, ${NORMALIZE}]`);
  await refused(
    ["--image-size", "64"],
    /^UsageError: --image-size can't change data\.val, since it only crops/,
    crops,
  );
  const oblong = FILE.replace(/val: \[.*\]/, `val: [{ Resize: [32, 48] }, ${NORMALIZE}]`);
  await refused(
    ["--image-size", "64"],
    /data\.val, since its images are no squares \(48 × 32 pixels\)/,
    oblong,
  );
});

Deno.test("--data names a folder, an archive, a file: URL or a data set", async () => {
  await withTemporaryFolder(async (folder) => {
    const dataOf = async (text: string) => {
      const { own } = await keySettings(parseFlags(COMMAND, ["--data", text]), KEYS);
      return own.map(({ key, value }) => [key, value])[0];
    };
    assert.deepEqual(await dataOf("hymenoptera"), ["data.dataset", "hymenoptera"]);
    assert.deepEqual(await dataOf("./hymenoptera"), ["data.root", "./hymenoptera"]);
    assert.deepEqual(await dataOf("photos.zip"), ["data.root", "photos.zip"]);
    assert.deepEqual(await dataOf("file:///a%20b/c"), ["data.root", "/a b/c"]);
    await assert.rejects(
      dataOf("https://example.org/photos.zip"),
      /fetch the folder or archive, and name it$/,
    );
    const place = (text: string) =>
      dataPlace(parseFlags(COMMAND, ["--data", text]), () => assert.fail("nothing is fetched"));
    assert.equal(await place("nowhere"), "nowhere");
    assert.equal(await place("file:///a%20b/c"), "/a b/c");
    await assert.rejects(
      place("https://me:hidden@example.org/photos.zip"),
      (error: Error) => /fetch the folder/.test(error.message) && !/hidden/.test(error.message),
    );
    const before = Deno.cwd();
    await Deno.mkdir(join(folder, "catdog"));
    Deno.chdir(folder);
    try {
      assert.equal(await place("catdog"), "catdog", "the folder that is there");
      await assert.rejects(
        dataOf("catdog"),
        /is a folder here and the name of a data set: write \.\/catdog/,
      );
    } finally {
      Deno.chdir(before);
    }
  });
});
