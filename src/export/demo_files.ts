/**
 * The demo: a page that classifies photos with an exported model, in a folder that needs nothing else.
 *
 * @module
 */
import licence from "../../LICENSE" with { type: "text" };
import indexHtml from "./demo/index.html" with { type: "text" };
import pageScript from "./demo/page.js" with { type: "text" };
import pageStyle from "./demo/style.css" with { type: "text" };
import type { ExportFile } from "./export_folder.ts";
import { type GraphModel, weightBytes } from "./graph_model.ts";
import { linkModules } from "./link_modules.ts";
import { shardAt, shardCount } from "./shards.ts";
import type { ModelFacts } from "./source.ts";

/** Never called: so Deno fetches the module that pages are linked from together with this one. */
const _PREPROCESSOR = () => import("./preprocessor.ts");

/** Weights above this are more than a page gets by with: it holds them twice while it loads. */
export const MAX_DEMO_BYTES = 2 ** 29;

/** Replacement of zod in a page, where no config is checked: each property and each call gives the same proxy. */
export const PAGE_STAND_INS = {
  [import.meta.resolve("../deps/zod.ts")]:
    "(() => { const z = new Proxy(() => z, { get: () => z }); return { z }; })()",
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
  const { TFJS_BUNDLE } = await import("../deps/tfjs_bundle.ts"); // a megabyte and a half
  const files: Record<string, ExportFile["content"]> = {
    "tf.min.js": () => TFJS_BUNDLE,
    "tf.LICENSE.txt": () => licence,
    "preprocessor.js": () =>
      linkModules(
        new URL(import.meta.resolve("./preprocessor.ts")),
        "lockstepPreprocessor",
        PAGE_STAND_INS,
      ),
    ...Object.fromEntries(
      shards.map((name, index) => [
        name,
        () => `lockstepShards[${index}] = "${shardAt(model, index).toBase64()}";\n`,
      ]),
    ),
    "model.js": () => `const lockstepModel = ${JSON.stringify(page)};\n`,
    "index.html": () => indexHtml,
    "style.css": () => pageStyle,
    "page.js": () => pageScript,
  };
  return Object.entries(files).map(([name, content]) => ({ path: `demo/${name}`, content }));
}
