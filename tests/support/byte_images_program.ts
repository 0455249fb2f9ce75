/**
 * Finishes batches of bytes on a GPU: the path of TensorFlow's library and the number of times are the arguments. Prints
 * the bytes of all batches together.
 *
 * @module
 */
import { openEngine } from "../../src/engine/engine.ts";
import { ImageStage } from "../../src/train/image_stage.ts";
import { type BatchMixing, bothBatches } from "./byte_batches.ts";

const [libraryPath, times] = Deno.args;
const ROWS = 5;
const usable = Array<boolean>(ROWS + 1).fill(true);
const crop = { RandomCrop: 16 };
const recipe = [crop, "RandomHorizontalFlip", "RandomVerticalFlip", {
  Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
}];
const erased = [...recipe, { RandomErasing: 0.5 }];
const sum: BatchMixing = { mix: { share: 0.3 }, usable, isWhole: false };
const box = { left: 1, top: 2, width: 5, height: 6 };
const cut: BatchMixing = { mix: { share: 0.9, box }, usable, isWhole: true };

const { hasGpu } = await openEngine({ device: "gpu", libraryPath });
const batches = [
  bothBatches([crop], ROWS),
  bothBatches(recipe, ROWS),
  bothBatches(erased, ROWS),
  bothBatches(recipe, ROWS, sum),
  bothBatches(recipe, ROWS, cut),
  bothBatches(erased, ROWS, cut),
].map(({ bytes }) => bytes);
const stage = new ImageStage(true);
for (let time = 0; time < Number(times); time++) {
  for (const images of batches) {
    const [height, width] = images.transforms.size;
    (await stage.tensorOf({ images, height, width })).dispose();
  }
}
const bytes = batches.reduce((total, { data }) => total + data.length, 0);
console.log(JSON.stringify({ hasGpu, batches: batches.length, bytes }));
