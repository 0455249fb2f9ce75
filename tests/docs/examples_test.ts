/**
 * The `@example`s of the public functions and classes: complete programs, which run without a network.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { PROJECT_ROOT, sourceFiles } from "../../scripts/files.ts";
import { WITH_EXAMPLES } from "../../scripts/test.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

/** The part of `deno doc --json` that is read here. */
interface DocNode {
  readonly name: string;
  readonly kind?: string;
  readonly declarations?: readonly DocNode[];
  readonly jsDoc?: { readonly tags?: readonly { readonly kind: string; readonly doc?: string }[] };
}

/** An example of a doc comment. */
interface Example {
  readonly name: string;
  readonly code: string;
}

/** Examples in the order in which they run: the first ones leave the runs that later ones read. */
const FIRST = ["train", "compare"];

Deno.test("every public function and class has an example that runs", async (t) => {
  const { symbols, module } = await documented();
  const examples = symbols.flatMap(({ name, tags }) =>
    tags.filter(({ kind }) => kind === "example").map(({ doc }) => ({ name, code: codeOf(doc!) }))
  );
  await t.step("has one", () => {
    const without = symbols.filter(({ name }) =>
      !examples.some((example) => example.name === name)
    );
    assert.deepEqual(without.map(({ name }) => name), []);
    assert.ok(symbols.length >= 18, `${symbols.length} functions and classes`);
  });
  const inOrder = [...examples, { name: "module", code: module }].sort((a, b) =>
    rankOf(a) - rankOf(b)
  );
  await t.step("they run", () => runExamples(inOrder));
});

/** Outputs that the examples' comments promise, and others that must hold whatever is learned in two epochs. */
const PRINTED = [
  { name: "train", text: /\/runs\/[\d-]+-photos: accuracy (0|1)(\.\d+)?$/ },
  { name: "createModel", text: /^11191242$/ },
  { name: "parseOverride", text: /^2 7$/ },
  { name: "resumeComparison", text: /^Large \[ "finished" \]\nSmall \[ "finished" \]$/ },
  { name: "exportRun", text: /^exported\/model\.safetensors: \d+ bytes$/m },
  { name: "evaluate", text: /^\d\.\d{3} of 6 images/ },
  { name: "predict", text: /^(photos\/val\/(dark|light)\/[012]\.jpg (dark|light) 0\.\d+\n?){6}$/ },
  { name: "loadTorchWeights", text: /^8 parameters and buffers$/ },
  { name: "loadCheckpoint", text: /^\[ "dark", "light" \] 23714 epoch [12]$/ },
  { name: "openEngine", text: /^TensorFlow 2\.\d+\.\d+ on a (C|G)PU$/ },
  { name: "module", text: /^Accuracy \S+ in 1 epochs\n\{/ },
];

Deno.test("each documented example of the sources is run by a test", async () => {
  for (const file of await sourceFiles(PROJECT_ROOT)) {
    if (!file.startsWith("src/") || WITH_EXAMPLES.includes(file)) continue;
    const text = await Deno.readTextFile(join(PROJECT_ROOT, file));
    for (const [, code] of text.matchAll(/ \* @example\n \* ```ts\n(.*?) \* ```\n/gs)) {
      assert.match(code, /from "@lockstep\/lockstep";/, `${file}: add it to WITH_EXAMPLES`);
    }
  }
});

/** Position of an example in the order of FIRST; behind them all unless it is one of them. */
function rankOf({ name }: Example): number {
  return FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length;
}

/** Public functions and classes with the tags of their doc comments, and the code of the module's example. */
async function documented() {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", "mod.ts"],
    cwd: PROJECT_ROOT,
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  const [{ module_doc, symbols }] = Object.values(nodes) as [
    { readonly module_doc: DocNode["jsDoc"]; readonly symbols: readonly DocNode[] },
  ];
  const example = module_doc?.tags?.find(({ kind }) => kind === "example");
  return {
    module: codeOf(example!.doc!),
    symbols: symbols.flatMap(({ name, declarations }) =>
      declarations!.filter(({ kind }) => kind === "function" || kind === "class")
        .map(({ jsDoc }) => ({ name, tags: jsDoc?.tags ?? [] }))
    ),
  };
}

/** The code of an example's fenced block. */
function codeOf(doc: string): string {
  const [, code] = /^```ts\n(.*?)\n```\s*$/s.exec(doc.trim()) ?? [];
  assert.ok(code, `an example is one block of code: ${doc}`);
  return code;
}

/** Runs examples one after the other in a process, in a folder with photos, a recipe, and what earlier ones left. */
async function runExamples(examples: readonly Example[]): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "photos"), {
      classes: ["dark", "light"],
      train: 8,
      val: 3,
      side: 24,
    });
    const { train, data, ...recipe } = tinyConfig("photos");
    const values = { ...recipe, out: "runs", data, train: { ...train, epochs: 1 } };
    await Deno.writeTextFile(join(folder, "recipe.yaml"), stringify(values));
    const door = new URL("mod.ts", `file://${PROJECT_ROOT}/`).href;
    const imports = { "@lockstep/lockstep": door };
    await Deno.writeTextFile(
      join(folder, "deno.json"),
      JSON.stringify({ imports, nodeModulesDir: "none" }),
    );
    await Deno.copyFile(join(PROJECT_ROOT, "deno.lock"), join(folder, "deno.lock"));
    const steps = examples.map(({ name }) =>
      `console.log("== ${name}");\nawait import("./${name}.ts");`
    );
    await Deno.writeTextFile(join(folder, "all.ts"), steps.join("\n"));
    for (const { name, code } of examples) {
      await Deno.writeTextFile(join(folder, `${name}.ts`), code);
    }
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--cached-only", "--allow-all", "all.ts"],
      cwd: folder,
      env: { NO_COLOR: "1" },
    }).output();
    const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, output + errors);
    for (const { name, text } of PRINTED) {
      const [, printed] = new RegExp(`^== ${name}\n(.*?)(?=\n== |\n?$(?!\n))`, "ms").exec(output)!;
      assert.match(printed, text, `${name}: ${printed}`);
    }
    assert.match(errors, /^--set train.lr 0.01 is not key=value, such as --set train.lr=0.01$/m);
  });
}
