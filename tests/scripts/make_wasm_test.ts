import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { WASM_SOURCES, wasmModule } from "../../scripts/make_wasm.ts";

for (const source of WASM_SOURCES) {
  Deno.test(`${source.target} is what deno task make:wasm makes of ${source.source}`, async () => {
    const text = await Deno.readTextFile(join(PROJECT_ROOT, source.target));
    assert.equal(text, await wasmModule(source));
  });
}
