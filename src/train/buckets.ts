/**
 * Gradients in buckets: where to cut a step's function so that they leave it while the backward pass goes on
 * (Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704, section 3.2.3).
 *
 * @module
 */
import type { CapturedResult } from "../engine/capture/capture.ts";

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/**
 * Cuts for buckets that are filled from the last gradient on, as the backward pass begins with the last layers.
 *
 * @param gradients In the order of the parameters
 * @param bucketBytes A bucket is full when it has as many; a gradient is never divided
 * @returns Positions of ops after which a bucket's gradients are all there, rising
 */
export function bucketCuts(gradients: readonly CapturedResult[], bucketBytes: number): number[] {
  const cuts: number[] = [];
  let bytes = 0;
  let last = -1;
  for (const { size, position } of gradients.slice(1).reverse()) {
    bytes += FLOAT_BYTES * size;
    last = Math.max(last, position);
    if (bytes < bucketBytes) continue;
    if (last !== cuts.at(-1)) cuts.push(last);
    bytes = 0;
  }
  return cuts;
}
