/**
 * The recipe of commands that are given none.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import text from "../../configs/default.yaml" with { type: "text" };

/** Text of `configs/default.yaml`: a part of the program, which may have come from an address. */
export const DEFAULT_CONFIG_TEXT: string = text;

/** Path of `configs/default.yaml`; its URL where the program came from an address. */
export const DEFAULT_CONFIG_PATH: string = pathOf(
  import.meta.resolve("../../configs/default.yaml"),
);

function pathOf(url: string): string {
  return url.startsWith("file:") ? fileURLToPath(url) : url;
}
