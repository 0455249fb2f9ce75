/**
 * The devices that TensorFlow may compute on.
 *
 * @module
 */

/** Names of devices: `auto` takes GPUs where there are any. */
export const DEVICES = ["auto", "cpu", "gpu"] as const;

/** Name of a device. */
export type DeviceName = (typeof DEVICES)[number];
