/**
 * The recipe of commands that are given none.
 *
 * @module
 */

const DEFAULT_CONFIG = new URL("../../configs/default.yaml", import.meta.url);

/** Path of `configs/default.yaml`. */
export function defaultConfigPath(): string {
  const url = DEFAULT_CONFIG;
  return url.protocol === "file:" ? decodeURIComponent(url.pathname) : url.href;
}
