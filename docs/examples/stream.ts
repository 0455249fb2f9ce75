import type { CreateDataset, DatasetSample } from "@lockstep/lockstep";
import { draw } from "./data.ts";

/** The bars as streams: those of training come in another order in each epoch. */
export const createDataset: CreateDataset = () => ({
  classes: ["standing", "lying"],
  train: { length: 160, stream: ({ epoch }) => bars(160, epoch * 37) },
  val: { length: 40, stream: () => bars(40, 1000) },
});

async function* bars(length: number, shift: number): AsyncGenerator<DatasetSample> {
  for (let place = 0; place < length; place++) {
    const index = shift + place * 7;
    yield { image: await Promise.resolve(draw(index)), label: index % 2 ? "lying" : "standing" };
  }
}
