/**
 * Sources of images made anew in another thread.
 *
 * @module
 */
import { CifarSource } from "./cifar10.ts";
import type { SampleSource, SourceRecipe } from "./image_set.ts";
import { ImageSource } from "./image_source.ts";
import { PausedSource } from "./paused_source.ts";

/** Makes a source that gives the same images as the one whose recipe it is. */
export function sourceOf(recipe: SourceRecipe): SampleSource {
  switch (recipe.kind) {
    case "files":
      return new ImageSource(recipe.root, recipe.maxPixels);
    case "cifar10":
      return new CifarSource(recipe.folder);
    case "pause":
      return new PausedSource(recipe.milliseconds);
  }
}
