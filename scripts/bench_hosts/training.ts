/**
 * Training over hosts in namespaces, as users start it.
 *
 * @module
 */
import { join } from "node:path";
import { Image } from "imagescript";
import { readHistory } from "../../src/records/history.ts";
import { median } from "../../src/base/statistics.ts";
import { startHostRun } from "../../tests/support/host_runs.ts";
import type { Hosts } from "../../tests/support/namespaces.ts";
import { runPeers } from "./peers.ts";

/** The settings of a training. */
export interface TrainingShape {
  readonly model: "resnet18";
  /** Side of the images in pixels. */
  readonly imageSize: number;
  /** Images per step of a rank. */
  readonly batch: number;
  /** Steps of an epoch. */
  readonly steps: number;
}

const CLASSES = 10;
/** The first epoch has the start of everything in it, and doesn't count. */
const EPOCHS = 3;

/** Writes noise as JPEGs, as many as an epoch has: each class has one picture, which is stored again and again. */
async function makeImages(root: string, images: number, side: number): Promise<void> {
  for (let label = 0; label < CLASSES; label++) {
    const image = new Image(side, side);
    image.fill((x, y) => Image.rgbToColor(25 * label, (x * y) % 256, (x + 7 * y) % 256));
    const bytes = await image.encodeJPEG(90);
    for (const split of ["train", "val"]) {
      const folder = join(root, split, `class${label}`);
      await Deno.mkdir(folder, { recursive: true });
      const count = split === "val" ? 1 : Math.ceil((images - label) / CLASSES);
      for (let index = 0; index < count; index++) {
        await Deno.writeFile(join(folder, `${index}.jpg`), bytes);
      }
    }
  }
}

/** Returns the images per second of the epochs after the first, for all ranks together. */
export async function trainOverHosts(
  hosts: Hosts,
  name: string,
  ranks: readonly number[],
  { model, imageSize, batch, steps }: TrainingShape,
): Promise<number> {
  const workers = ranks.reduce((sum, count) => sum + count, 0);
  const root = join(hosts.shared, `${name}-images`);
  await makeImages(root, batch * workers * steps, imageSize);
  const transforms = [{ CenterCrop: imageSize }, {
    Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  }];
  await using run = await startHostRun(hosts, name, {
    ...{ name, workers, device: "cpu", model: { name: model, weights: "none" } },
    data: { root, train: transforms, val: transforms },
    train: { epochs: EPOCHS, batchSizePerWorker: batch, lr: 0.001, momentum: 0.9 },
    engine: { threadsPerWorker: 1 },
    hosts: { count: ranks.length, workers: [...ranks] },
  });
  const { code } = await run.coordinator.result;
  if (code !== 0) throw new Error(`The training ended with code ${code}:\n${run.output()}`);
  const { epochs } = await readHistory(await run.folder());
  await Deno.remove(root, { recursive: true });
  return median(epochs.slice(1).map(({ imagesPerSecond }) => imagesPerSecond));
}

/** Returns the images per second of PyTorch's DistributedDataParallel, for all ranks together. */
export async function trainByPeers(
  hosts: Hosts,
  ranks: readonly number[],
  python: string,
  { model, imageSize, batch, steps }: TrainingShape,
): Promise<number> {
  const shape = ["--model", model, "--image-size", String(imageSize), "--batch", String(batch)];
  const args = [...shape, "--steps", String(steps), "--warmup", "2"];
  return (await runPeers(hosts, ranks, python, args)).imagesPerSecond!;
}
