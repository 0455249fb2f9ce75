/**
 * Translates src/data/resize.wat into src/data/resize_code.ts. A test holds the two together.
 *
 * Usage: deno task make:wasm
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import wabt from "wabt";
import { PROJECT_ROOT } from "./files.ts";

/** The text of src/data/resize_code.ts, made anew. */
export async function resizeCode(): Promise<string> {
  const { parseWat } = await wabt();
  const text = await Deno.readTextFile(join(PROJECT_ROOT, "src/data/resize.wat"));
  const module = parseWat("resize.wat", text, { simd: true });
  try {
    module.validate();
    const code = Buffer.from(module.toBinary({}).buffer).toString("base64");
    const lines = code.match(/.{1,90}/g)!.map((line) => `  "${line}"`).join(" +\n");
    return `/**
 * resize.wat as WebAssembly, in Base64: made by \`deno task make:wasm\`.
 *
 * @module
 */

/** See resize.wat for what it exports. */
export const RESIZE_CODE =
${lines};
`;
  } finally {
    module.destroy();
  }
}

if (import.meta.main) {
  await Deno.writeTextFile(join(PROJECT_ROOT, "src/data/resize_code.ts"), await resizeCode());
}
