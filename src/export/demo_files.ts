/**
 * The demo: a page that classifies photos with an exported model, in a folder that needs nothing else.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { ExportFile } from "./export_folder.ts";
import { type GraphModel, weightBytes } from "./graph_model.ts";
import { linkModules } from "./link_modules.ts";
import { shardAt, shardCount } from "./shards.ts";
import type { ModelFacts } from "./source.ts";

const HERE = new URL("./", import.meta.url);
const PAGE_FILES = ["index.html", "style.css", "page.js"];

/** Weights above this are more than a page gets by with: it holds them twice while it loads. */
export const MAX_DEMO_BYTES = 2 ** 29;

/** In a page nobody checks a config: whatever is asked of zod, there is more of the same. */
export const PAGE_STAND_INS = {
  zod: "(() => { const z = new Proxy(() => z, { get: () => z }); return { z }; })()",
};

/** The files of the folder `demo`. The page is opened by a double-click, or served by any server of files. */
export async function demoFiles(model: GraphModel, facts: ModelFacts): Promise<ExportFile[]> {
  const count = shardCount(model);
  const shards = Array.from({ length: count }, (_, index) => `weights-${index + 1}of${count}.js`);
  const page = {
    facts,
    shards,
    description: { ...model.description, userDefinedMetadata: undefined },
    weightSpecs: model.weightSpecs,
    weightBytes: weightBytes(model),
  };
  const bundle = await tfjsBundle();
  const files: Record<string, ExportFile["content"]> = {
    "tf.min.js": () => Deno.readFile(bundle),
    "tf.LICENSE.txt": () => Deno.readFile(new URL("../../LICENSE", HERE)),
    "preprocessor.js": () =>
      linkModules(new URL("preprocessor.ts", HERE), "lockstepPreprocessor", PAGE_STAND_INS),
    ...Object.fromEntries(
      shards.map((name, index) => [
        name,
        () => `lockstepShards[${index}] = "${shardAt(model, index).toBase64()}";\n`,
      ]),
    ),
    "model.js": () => `const lockstepModel = ${JSON.stringify(page)};\n`,
    ...Object.fromEntries(
      PAGE_FILES.map((name) => [name, () => Deno.readFile(new URL(`demo/${name}`, HERE))]),
    ),
  };
  return Object.entries(files).map(([name, content]) => ({ path: `demo/${name}`, content }));
}

/** The file of tfjs for browsers, fetched by Deno as a part of the program's dependencies. */
async function tfjsBundle(): Promise<string> {
  // A package's folder is only known to Deno once something of it was imported.
  await import("@tensorflow/tfjs");
  return fileURLToPath(import.meta.resolve("@tensorflow/tfjs/dist/tf.es2017.min.js"));
}
