import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Script } from "node:vm";
import { randomStream } from "../../src/base/random.ts";
import { transformsSchema } from "../../src/data/transforms/transform_specs.ts";
import { PAGE_STAND_INS } from "../../src/export/demo_files.ts";
import { linkModules } from "../../src/export/link_modules.ts";
import { makePreprocessor } from "../../src/export/preprocessor.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Runs a script as a page would, and gives its global variable. */
function run(script: string, name: string): unknown {
  return new Script(`${script}\n${name}`).runInThisContext();
}

Deno.test("linkModules() makes a script of the preprocessing whose pixels are those of training, to the bit", async () => {
  const entry = new URL("../../src/export/preprocessor.ts", import.meta.url);
  const script = await linkModules(entry, "linked", PAGE_STAND_INS);
  const linked = run(script, "linked") as { makePreprocessor: typeof makePreprocessor };
  const random = randomStream("linked");
  const makeNoise = (width: number, height: number) => ({
    width,
    height,
    data: Uint8Array.from({ length: width * height * 3 }, () => 256 * random()),
  });
  const normalize = { Normalize: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } };
  const lists = [
    [{ Resize: 40 }, { CenterCrop: 32 }, normalize],
    [{ Resize: [24, 33] }],
    [{ Pad: { padding: [3, 1], fill: 9, paddingMode: "reflect" } }, { CenterCrop: 50 }, normalize],
    [{ RandomResizedCrop: 24 }, "RandomHorizontalFlip", "ColorJitter"],
  ];
  for (const list of lists) {
    const transforms = transformsSchema.parse(list);
    for (const image of [makeNoise(61, 47), makeNoise(33, 90)]) {
      const expected = makePreprocessor(transforms)(image);
      const actual = linked.makePreprocessor(transforms)(image);
      deepEqual(actual.pixels, expected.pixels);
      deepEqual(actual.seen, expected.seen);
    }
  }
});

let count = 0;

/** Links files, of which `a.ts` is the entry, and runs them. */
async function linked(files: Record<string, string>): Promise<unknown> {
  let result: unknown;
  await withTemporaryFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    const entry = pathToFileURL(join(folder, "a.ts"));
    const name = `result${count++}`;
    result = run(await linkModules(entry, name, { known: "{ five: 5 }" }), name);
  });
  return result;
}

Deno.test("linkModules() runs each module once, after what it imports, with names of its own", async () => {
  const exports = await linked({
    "a.ts": `import { log, type Log as Other } from "./c.ts";
import {
  double as twice,
} from "./b.ts";
import { five } from "known";
import type { Nothing } from "nowhere";
const hidden: number = twice(five);
export const answer: Other = hidden;
export function all(): string[] { return log; }
export class Box { value = 1; }
log.push("a");
`,
    "b.ts": `import { log } from "./c.ts";
const hidden = 2;
log.push("b");
export const double = (x: number): number => hidden * x;
`,
    "c.ts": `/** import x from "y"; */
export type Log = number;
export const log: string[] = ["c"];
`,
  }) as { answer: number; all: () => string[]; Box: new () => { value: number } };
  equal(exports.answer, 10);
  deepEqual(exports.all(), ["c", "b", "a"]);
  equal(new exports.Box().value, 1);
});

Deno.test("linkModules() follows lists of other modules' exports, and takes all names of a module", async () => {
  const exports = await linked({
    "a.ts": `import * as list from "./list.ts";
export const names = Object.keys({ ...list });
export const sum = list.one + list.second;
`,
    "list.ts": `export { one } from "./one.ts";
export { two as second, type Two } from "./two.ts";
`,
    "one.ts": `export const one = 1;`,
    "two.ts": `export type Two = 2; export const two = 2;`.replace("; ", ";\n"),
  }) as { names: string[]; sum: number };
  deepEqual(exports, { names: ["one", "second"], sum: 3 });
});

Deno.test("linkModules() refuses what it doesn't understand", async () => {
  const refused: Record<string, RegExp> = {
    'import { x } from "strange";': /imports strange, which a page has not/,
    'import y from "./b.ts";': /can't be linked into a script: import y/,
    'export * from "./b.ts";': /can't be linked into a script: export \*/,
    "export default 5;": /can't be linked into a script: export default/,
    "export let a = 1;": /can't be linked into a script: export let/,
    'const b = await import("./b.ts");': /can't be linked into a script: import\(/,
    "const here = import.meta.url;": /can't be linked into a script: import\.meta/,
  };
  for (const [text, message] of Object.entries(refused)) {
    await rejects(linked({ "a.ts": text, "b.ts": "" }), (error: Error) => {
      match(error.message, message);
      ok(error instanceof SyntaxError);
      return true;
    });
  }
});
