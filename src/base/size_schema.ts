/**
 * Sizes in a config.
 *
 * @module
 */
import { z } from "../deps/zod.ts";

const UNITS: Record<string, number> = { kB: 1e3, MB: 1e6, GB: 1e9 };

const HINT = "give a number of bytes, or such as 500MB or 2GB";

/** A number of bytes, or such as `500MB` or `2GB`; always the former when validated. */
export const sizeSchema = z.union([
  z.int(HINT).positive(HINT),
  z.string().regex(/^\d+(\.\d+)?\s*(kB|MB|GB)$/, HINT),
], HINT).transform((value) => {
  if (typeof value === "number") return value;
  const unit = value.slice(-2);
  return Math.floor(Number(value.slice(0, -2)) * UNITS[unit]);
}).pipe(z.int(HINT).positive(HINT));
