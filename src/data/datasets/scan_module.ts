/**
 * A data set of the user's own as the images of a run.
 *
 * @module
 */
import { labelsByName } from "../class_names.ts";
import { listedInQuotes } from "../../base/listing.ts";
import { createHash } from "node:crypto";
import { importModule, thrownMessage, type UserModule } from "../../base/user_module.ts";
import { DataError } from "../codecs/data_error.ts";
import type { ImageSet, Sample, SampleSource, SourceRecipe } from "./image_set.ts";
import type { PartOf, RgbImage } from "../codecs/rgb_image.ts";
import { SampleStream } from "./sample_stream.ts";
import {
  createDataset,
  type Dataset,
  type DatasetSample,
  isLabel,
  isStream,
  type Split,
} from "./user_dataset.ts";
import { userImage } from "./user_image.ts";

/** Callbacks of the scan of a data module's samples. */
export interface ModuleHooks {
  /** Called with what the user's code throws, before it becomes a {@linkcode DataError}. */
  readonly onThrown?: (thrown: unknown) => void;
  /** Called with the index of the sample that has been in the making for the longest time, or with nothing. */
  readonly onMaking?: (index: number | undefined) => void;
}

/** The options for making a data module's samples. */
export interface ModuleDataOptions extends ModuleHooks {
  readonly seed: number;
  /** Larger images are refused. */
  readonly maxPixels: number;
}

/** The label of a sample that wasn't read yet. */
const UNKNOWN = -1;

const SPLITS: readonly Split[] = ["train", "val"];

/**
 * Imports a data module and makes its data set.
 *
 * @param url `file:` URL
 * @throws {UsageError} when there is none, or it isn't one
 */
export async function scanModule(
  url: string,
  options: ModuleDataOptions,
): Promise<ImageSet> {
  const module = await importModule("data.module", url);
  const dataset = await createDataset(module, { seed: options.seed });
  const fingerprint = fingerprintOf(module, dataset);
  const source = new ModuleSource(module, dataset, options, fingerprint);
  return {
    root: url,
    classes: [...dataset.classes],
    train: source.samples("train"),
    val: source.samples("val"),
    fingerprint,
    source,
    inOrder: isStream(dataset.train),
    ...(source.labelsAreKnown
      ? {}
      : { learnLabel: (split, index, label) => source.learn(split, index, label) }),
  };
}

/** Equal where the code and what it says of its samples are. */
function fingerprintOf({ sha256 }: UserModule, dataset: Dataset): string {
  const { classes, fingerprint = "" } = dataset;
  const hash = createHash("sha256").update(JSON.stringify([sha256, classes, fingerprint]));
  for (const split of SPLITS) {
    const samples = dataset[split];
    const labels = isStream(samples) ? undefined : samples.labels;
    hash.update(`\n${split}\0${samples.length}\0${labels ? Array.from(labels).join() : ""}`);
  }
  return hash.digest("hex");
}

/** Makes samples by a user's code. */
class ModuleSource implements SampleSource {
  readonly cheap: boolean;
  readonly labelsAreKnown: boolean;
  readonly recipe: SourceRecipe | undefined;
  readonly onMaking: ModuleHooks["onMaking"];
  readonly #module: UserModule;
  readonly #dataset: Dataset;
  readonly #options: ModuleDataOptions;
  readonly #labels: Record<Split, Int32Array>;
  readonly #labelsByName: ReadonlyMap<string, number>;
  readonly #streams: Partial<Record<Split, SampleStream>> = {};
  /** Indices of the samples in the making, the oldest first. */
  readonly #making = new Map<symbol, number>();

  constructor(
    module: UserModule,
    dataset: Dataset,
    options: ModuleDataOptions,
    fingerprint: string,
  ) {
    this.#module = module;
    this.#dataset = dataset;
    this.#options = options;
    this.#labelsByName = labelsByName(dataset.classes);
    this.#labels = { train: labelsOf(dataset, "train"), val: labelsOf(dataset, "val") };
    for (const split of SPLITS) {
      const samples = dataset[split];
      if (!isStream(samples)) continue;
      this.#streams[split] = new SampleStream(samples, module, { split, seed: options.seed });
    }
    // What a stream gives at a position may differ from epoch to epoch.
    const streams = Object.keys(this.#streams).length > 0;
    this.cheap = streams || (dataset.cheap ?? false);
    this.labelsAreKnown = SPLITS.every((split) => !this.#labels[split].includes(UNKNOWN));
    this.onMaking = options.onMaking;
    const { seed, maxPixels, onThrown } = options;
    const parts = { url: module.url, seed, maxPixels, fingerprint, reports: Boolean(onThrown) };
    if (dataset.inThreads && !streams && this.labelsAreKnown) {
      this.recipe = { kind: "module", ...parts };
    }
  }

  /** Other processes don't know the label of a sample that this one has read. */
  get ownOnly(): boolean {
    return !this.labelsAreKnown;
  }

  /** The samples of a part; their labels are known as soon as the samples were read. */
  samples(split: Split): Sample[] {
    const labels = this.#labels[split];
    return Array.from(labels, (_, index) => ({
      path: `${split}#${index}`,
      index,
      get label() {
        return labels[index] ?? UNKNOWN;
      },
    }));
  }

  /** Takes over what another process has found. */
  learn(split: Split, index: number, label: number): void {
    this.#labels[split][index] = label;
  }

  async read({ path }: Sample, part?: PartOf, epoch = 0): Promise<RgbImage> {
    const [split, number] = path.split("#") as [Split, string];
    const index = Number(number);
    const sample = await this.#make(split, index, epoch, path);
    this.learn(split, index, this.#labelOf(sample, split, index, path));
    const { maxPixels } = this.#options;
    return await userImage(sample.image, { path, maxPixels, part });
  }

  async #make(split: Split, index: number, epoch: number, path: string): Promise<DatasetSample> {
    const stream = this.#streams[split];
    if (stream) return await this.#watched(index, () => stream.at(index, epoch));
    const samples = this.#dataset[split];
    if (isStream(samples)) throw new TypeError(`No stream for ${split}`);
    const context = { split, seed: this.#options.seed };
    try {
      return await this.#watched(index, () => samples.sample(index, context));
    } catch (error) {
      this.#options.onThrown?.(error);
      const message = thrownMessage(this.#module, `sample(${index})`, error);
      throw new DataError(path, message, { cause: error });
    }
  }

  /** Runs a user's code, which may block this thread or never end, in sight of `onMaking`. */
  async #watched<T>(index: number, make: () => T | Promise<T>): Promise<T> {
    const { onMaking } = this.#options;
    if (!onMaking) return await make();
    const key = Symbol();
    const [oldest = index] = this.#making.values();
    this.#making.set(key, index);
    try {
      onMaking(index); // while the code holds this thread, it is this one
      const made = make();
      onMaking(oldest);
      return await made;
    } finally {
      this.#making.delete(key);
      onMaking(this.#making.values().next().value);
    }
  }

  /** The label's position, checked: a user's code may give anything. */
  #labelOf(sample: unknown, split: Split, index: number, path: string): number {
    const { classes } = this.#dataset;
    const given = (sample as Partial<DatasetSample> | undefined)?.label;
    const samples = this.#dataset[split];
    const known = isStream(samples) ? undefined : samples.labels?.[index];
    const label = given === undefined
      ? known
      : typeof given === "string"
      ? this.#labelsByName.get(given) ?? -1
      : given;
    if (!isLabel(label, classes.length)) {
      const choice = listedInQuotes(classes);
      throw new DataError(
        path,
        `its label is ${
          typeof given === "number" ? given : JSON.stringify(given)
        }, which is neither 0 to ${classes.length - 1} nor one of the ` +
          `classes (${choice})`,
      );
    }
    if (known !== undefined && label !== known) {
      throw new DataError(path, `its label is ${label}, but labels[${index}] is ${known}`);
    }
    return label;
  }

  [Symbol.dispose](): void {
    for (const stream of Object.values(this.#streams)) stream.close();
  }
}

function labelsOf(dataset: Dataset, split: Split): Int32Array {
  const samples = dataset[split];
  const labels = isStream(samples) ? undefined : samples.labels;
  return labels ? Int32Array.from(labels) : new Int32Array(samples.length).fill(UNKNOWN);
}
