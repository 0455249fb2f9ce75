/**
 * The config keys that choose GPUs and bound their memory.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { sizeSchema } from "../base/size_schema.ts";

const DEVICES_HINT =
  "give indices such as 0,2 or [0, 2], or UUIDs that begin with GPU- or MIG-, as nvidia-smi -L shows them";
const DEVICE = String.raw`\s*(\d{1,6}|([Gg][Pp][Uu]|[Mm][Ii][Gg])-[\w/.-]+)\s*`;

const index = z.int(DEVICES_HINT).nonnegative(DEVICES_HINT);
const name = z.string(DEVICES_HINT).regex(new RegExp(`^${DEVICE}$`), DEVICES_HINT);
const names = z.string(DEVICES_HINT).regex(new RegExp(`^${DEVICE}(,${DEVICE})*$`), DEVICES_HINT);

/** Names of GPUs: a list, or a text with commas; always a list when validated. */
export const devicesSchema = z.union([
  index,
  names,
  z.array(z.union([index, name], DEVICES_HINT), DEVICES_HINT).min(1, DEVICES_HINT),
], DEVICES_HINT).transform((value) => {
  const list = typeof value === "string" ? value.split(",") : [value].flat();
  return list.map((each) => String(each).trim());
});

const MEMORY_HINT = "give a part of the GPU's memory, such as 0.5, or a size such as 20GB";
/** The least part: less is no memory to speak of. */
const MIN_PART = 0.001;

/** The most memory of a GPU: a part of it up to 1, or bytes. */
export const gpuMemorySchema = z.union([
  z.number(MEMORY_HINT).min(MIN_PART, MEMORY_HINT).max(1, MEMORY_HINT),
  sizeSchema,
], MEMORY_HINT);
