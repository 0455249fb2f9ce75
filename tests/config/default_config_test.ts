import assert from "node:assert/strict";
import { DEFAULT_CONFIG_PATH, DEFAULT_CONFIG_TEXT } from "../../src/config/default_config.ts";

Deno.test("the default config is the file that its path names", async () => {
  assert.equal(await Deno.readTextFile(DEFAULT_CONFIG_PATH), DEFAULT_CONFIG_TEXT);
});
