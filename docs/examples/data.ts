import type { CreateDataset, PixelImage } from "@lockstep/lockstep";

const SIDE = 24;

/** Images of standing and lying bars, drawn when they are asked for. */
export const createDataset: CreateDataset = () => ({
  classes: ["standing", "lying"],
  train: { length: 160, sample: (index) => ({ image: draw(index), label: index % 2 }) },
  val: { length: 40, sample: (index) => ({ image: draw(1000 + index), label: index % 2 }) },
});

/** A bar on a dark ground: it stands for even numbers, and lies for odd ones. */
export function draw(index: number): PixelImage {
  const data = new Uint8Array(SIDE * SIDE); // grey
  const [middle, width] = [4 + index * 5 % 16, 2 + index * 3 % 4];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const across = index % 2 ? y : x;
      const inside = Math.abs(across - middle) < width;
      data[y * SIDE + x] = (inside ? 200 : 30) + (x * y + index) % 25;
    }
  }
  return { width: SIDE, height: SIDE, data };
}
