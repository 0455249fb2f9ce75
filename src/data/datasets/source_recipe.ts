/**
 * Sources of images made anew in another thread.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { withoutDisposal } from "../../base/system_errors.ts";
import { CifarSource } from "./cifar10.ts";
import type { SampleSource, SourceRecipe } from "./image_set.ts";
import { ImageSource } from "./image_source.ts";
import { PausedSource } from "./paused_source.ts";

/**
 * Makes a source that gives the same images as the one whose recipe it is.
 *
 * @param onMaking Called with the index of the sample that a user's code is making, or with nothing
 * @throws {LockstepError} when a module gives other images than it did
 */
export async function sourceOf(
  recipe: SourceRecipe,
  onMaking: (index: number | undefined) => void = () => {},
): Promise<SampleSource> {
  switch (recipe.kind) {
    case "files":
      return new ImageSource(recipe.root, recipe.maxPixels);
    case "cifar10":
      return new CifarSource(recipe.folder);
    case "module": {
      const { scanModule } = await import("./scan_module.ts");
      const { url, fingerprint, reports, seed, maxPixels } = recipe;
      // With its stack: the coordinator keeps a worker's last lines.
      const onThrown = (thrown: unknown) => console.error(withoutDisposal(thrown));
      const options = { seed, maxPixels, onMaking, ...(reports ? { onThrown } : {}) };
      const set = await scanModule(url, options);
      if (set.fingerprint === fingerprint) return set.source;
      throw new LockstepError(
        `createDataset of ${url} gives other samples in a loader thread than before: it must give the same each time, or ` +
          "leave inThreads out",
      );
    }
    case "pause":
      return new PausedSource(recipe.milliseconds);
  }
}
