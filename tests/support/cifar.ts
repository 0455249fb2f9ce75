/**
 * Small data in CIFAR-10's binary format: the real names, records and archive, with fewer images.
 *
 * @module
 */
import { join } from "node:path";
import { randomStream } from "../../src/base/random.ts";
import { tarGzOf } from "./archives.ts";

/** Names of the classes, as CIFAR-10's `batches.meta.txt` has them. */
export const CIFAR_CLASSES = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/** Files of images, those of training first. */
export const CIFAR_FILES = [
  ...[1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
  "test_batch.bin",
];

const FOLDER = "cifar-10-batches-bin";
const PIXELS = 32 * 32;
const RECORD_BYTES = 1 + 3 * PIXELS;

/** Options of {@linkcode makeCifar}. */
export interface CifarOptions {
  /** Images in each of the six files (default 20); classes follow each other. */
  readonly perBatch?: number;
  /** Also make `cifar-10-binary.tar.gz`, with the folder in it as in the real one. */
  readonly archive?: boolean;
}

/** The result of {@linkcode makeCifar}. */
export interface MadeCifar {
  /** Folder with the `.bin` files. */
  readonly root: string;
  /** Path of `cifar-10-binary.tar.gz`, whether it was asked for or not. */
  readonly archive: string;
}

/** Makes `cifar-10-batches-bin/` in a folder: each class has a colour of its own, and noise. */
export async function makeCifar(
  folder: string,
  { perBatch = 20, archive = false }: CifarOptions = {},
): Promise<MadeCifar> {
  const made = { root: join(folder, FOLDER), archive: join(folder, "cifar-10-binary.tar.gz") };
  await Deno.mkdir(made.root, { recursive: true });
  const files = new Map<string, Uint8Array>();
  files.set("batches.meta.txt", new TextEncoder().encode(CIFAR_CLASSES.join("\n") + "\n\n"));
  for (const name of CIFAR_FILES) files.set(name, makeBatch(name, perBatch));
  for (const [name, bytes] of files) await Deno.writeFile(join(made.root, name), bytes);
  if (archive) {
    const entries = [...files].map(([name, bytes]) => [`${FOLDER}/${name}`, bytes] as const);
    const all = { [`${FOLDER}/`]: "", ...Object.fromEntries(entries) };
    await Deno.writeFile(made.archive, await tarGzOf(all));
  }
  return made;
}

/** Records of one file: label, then planes of red, green and blue. */
function makeBatch(name: string, count: number): Uint8Array {
  const bytes = new Uint8Array(count * RECORD_BYTES);
  for (let record = 0; record < count; record++) {
    const label = record % CIFAR_CLASSES.length;
    const random = randomStream("cifar", name, record);
    const at = record * RECORD_BYTES;
    bytes[at] = label;
    for (let channel = 0; channel < 3; channel++) {
      const shade = 190 * ((label * (channel + 1)) % 10) / 10;
      for (let pixel = 0; pixel < PIXELS; pixel++) {
        bytes[at + 1 + channel * PIXELS + pixel] = shade + 60 * random();
      }
    }
  }
  return bytes;
}
