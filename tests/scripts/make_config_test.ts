import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { configFiles } from "../../scripts/make_config.ts";

Deno.test("the config's JSON Schema and input types are what deno task make:config makes", async () => {
  for (const [path, text] of Object.entries(await configFiles())) {
    assert.equal(await Deno.readTextFile(join(PROJECT_ROOT, path)), text, path);
  }
});
