/**
 * The description of a network's published weights.
 *
 * @module
 */
import type { Wheel } from "./wheel.ts";

/** torchvision's IMAGENET1K_V1, or the V2 that a newer recipe gave. */
export type WeightsVersion = "v1" | "v2";

/** A published file of weights; its name carries the first digits of its SHA-256. */
export interface WeightsFile {
  readonly file: string;
  /** Size in units of 2^20 bytes. */
  readonly mebibytes: number;
}

/** An architecture's published weights; names and sizes as torchvision's `get_model_weights` has them. */
export interface PublishedWeights {
  readonly licence: string;
  /** Wheel that the file is in, where it isn't torchvision's. */
  readonly wheel?: Wheel;
  readonly v1: WeightsFile;
  readonly v2?: WeightsFile;
}
