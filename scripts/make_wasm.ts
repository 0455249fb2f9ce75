/**
 * Translates the .wat files into modules that hold their code. A test holds the two together.
 *
 * Usage: deno task make:wasm
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { basename, join } from "node:path";
import wabt from "wabt";
import { PROJECT_ROOT } from "./files.ts";

/** A .wat file, and the module that is made of it. */
export interface WasmSource {
  readonly source: string;
  readonly target: string;
  /** Name of the module's constant. */
  readonly constant: string;
}

/** All sources of WebAssembly modules. */
export const WASM_SOURCES: readonly WasmSource[] = [
  {
    source: "src/data/resizing/resize.wat",
    target: "src/data/resizing/resize_code.ts",
    constant: "RESIZE_CODE",
  },
  {
    source: "src/exchange/narrow.wat",
    target: "src/exchange/narrow_code.ts",
    constant: "NARROW_CODE",
  },
  {
    source: "src/exchange/weighted_sum.wat",
    target: "src/exchange/weighted_sum_code.ts",
    constant: "WEIGHTED_SUM_CODE",
  },
];

/** The text of a module, made anew. */
export async function wasmModule({ source, constant }: WasmSource): Promise<string> {
  const { parseWat } = await wabt();
  const name = basename(source);
  const module = parseWat(name, await Deno.readTextFile(join(PROJECT_ROOT, source)), {
    simd: true,
  });
  try {
    module.validate();
    const code = Buffer.from(module.toBinary({}).buffer).toString("base64");
    const lines = code.match(/.{1,90}/g)!.map((line) => `  "${line}"`).join(" +\n");
    return `/**
 * ${name} as WebAssembly, in Base64: made by \`deno task make:wasm\`.
 *
 * @module
 */

/** See ${name} for what it exports. */
export const ${constant} =
${lines};
`;
  } finally {
    module.destroy();
  }
}

if (import.meta.main) {
  for (const source of WASM_SOURCES) {
    await Deno.writeTextFile(join(PROJECT_ROOT, source.target), await wasmModule(source));
  }
}
