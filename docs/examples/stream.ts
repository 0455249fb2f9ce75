import type { CreateDataset, DatasetSample } from "@lockstep/lockstep";
import { draw } from "./data.ts";

/** The shapes as streams: those of training come in another order in each epoch. */
export const createDataset: CreateDataset = () => ({
  classes: ["disk", "square"],
  train: { length: 160, stream: ({ epoch }) => shapes(160, epoch * 37) },
  val: { length: 40, stream: () => shapes(40, 1000) },
});

async function* shapes(length: number, shift: number): AsyncGenerator<DatasetSample> {
  for (let place = 0; place < length; place++) {
    const index = shift + place * 7;
    yield { image: await Promise.resolve(draw(index)), label: index % 2 ? "square" : "disk" };
  }
}
