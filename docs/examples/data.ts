import type { CreateDataset, PixelImage } from "@lockstep/lockstep";

const SIDE = 24;

/** Pictures of disks and squares, drawn when they are asked for. */
export const createDataset: CreateDataset = () => ({
  classes: ["disk", "square"],
  train: { length: 160, sample: (index) => ({ image: draw(index), label: index % 2 }) },
  val: { length: 40, sample: (index) => ({ image: draw(1000 + index), label: index % 2 }) },
});

/** A shape on a dark ground: a disk for even numbers, a square for odd ones. */
export function draw(index: number): PixelImage {
  const data = new Uint8Array(SIDE * SIDE); // grey
  const radius = 4 + index * 7 % 5;
  const [left, top] = [8 + index * 5 % 8, 8 + index * 3 % 8];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const [dx, dy] = [Math.abs(x - left), Math.abs(y - top)];
      const inside = index % 2 ? Math.max(dx, dy) < radius * 0.9 : Math.hypot(dx, dy) < radius;
      data[y * SIDE + x] = inside ? 200 : 30 + (x * y + index) % 20;
    }
  }
  return { width: SIDE, height: SIDE, data };
}
