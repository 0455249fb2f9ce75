/**
 * The list of transforms, under the names that a config takes: torchvision's.
 *
 * @module
 */
export { ColorJitter, RandomGrayscale } from "./color.ts";
export { CenterCrop, RandomCrop, RandomResizedCrop } from "./crop.ts";
export { RandomErasing } from "./erase.ts";
export { RandomHorizontalFlip, RandomVerticalFlip } from "./flip.ts";
export { Normalize } from "./normalize.ts";
export { Pad } from "./pad.ts";
export { Resize } from "./resize.ts";
export { RandomRotation } from "./rotate.ts";
