import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "@std/yaml";
import { UsageError } from "../../src/base/errors.ts";
import { loadConfig, loadRunConfig, validateConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

const recipe = (name: string) =>
  fileURLToPath(new URL(`../../configs/${name}.yaml`, import.meta.url));

/** Loads a recipe with overrides; returns its `data` and the notes. */
async function load(path: string, sets: string[], read = loadConfig) {
  const notes: string[] = [];
  const overrides = sets.map(parseOverride);
  const { name, data } = await read(path, overrides, { onNote: (note) => notes.push(note) });
  const { dataset, root, module, format, trainFolder, valFolder, valFraction } = data;
  const layout = { format, trainFolder, valFolder, valFraction: valFraction ?? undefined };
  return { name, source: dataset ?? root ?? module, layout, notes };
}

const ORDINARY = {
  format: "imageFolder",
  trainFolder: "train",
  valFolder: "val",
  valFraction: undefined,
};

Deno.test("data.root alone replaces a recipe's data set, its name and its layout, and that is said", async () => {
  const path = recipe("default");
  assert.deepEqual(await load(path, ["data.root=/x/My photos/"]), {
    name: "My photos",
    source: "/x/My photos",
    layout: ORDINARY,
    notes: [
      `data.root is now /x/My photos/: left out of ${path}, since it doesn't go with that: ` +
      "data.dataset (food-groups), name (food-groups)",
    ],
  });
  const named = await load(path, ["data.root=/x", "name=My photos", "data.valFraction=0.2"]);
  assert.equal(named.name, "My photos");
  assert.deepEqual(named.layout, { ...ORDINARY, valFraction: 0.2 });
  assert.equal((await load(recipe("cifar10-resnet18"), ["data.root=/x/photos"])).name, "photos");
  assert.equal(
    (await load(recipe("cifar10-resnet18"), ["data.root=/x"])).layout.format,
    "imageFolder",
  );
  const cifar = await load(recipe("cifar10-resnet18"), ["data.root=/x", "data.format=cifar10"]);
  assert.equal(cifar.layout.format, "cifar10");
  assert.equal(
    (await load(recipe("finetune-resnet18"), ["data.root=/x"])).name,
    "finetune-resnet18",
  );
});

Deno.test("data.dataset=null beside data.root says what data.root says alone", async () => {
  const { name, notes } = await load(recipe("default"), [
    "data.dataset=null",
    "data.root=/x/photos",
  ]);
  assert.deepEqual([name, notes.length], ["photos", 1]);
});

Deno.test("each source of images replaces each other one of the file, with what belongs to it", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "recipe.yaml");
    const write = (data: Record<string, unknown>) => {
      const { train, val } = tinyConfig("/p").data;
      return Deno.writeTextFile(
        path,
        stringify(tinyConfig("/p", { data: { train, val, ...data } })),
      );
    };
    await write({ root: "/own", valFraction: 0.2, trainFolder: "learn" });
    const hymenoptera = await load(path, ["data.dataset=hymenoptera"]);
    assert.deepEqual([hymenoptera.source, hymenoptera.layout, hymenoptera.name], [
      "hymenoptera",
      ORDINARY,
      "tiny",
    ]);
    assert.deepEqual(hymenoptera.notes, [
      `data.dataset is now hymenoptera: left out of ${path}, since it doesn't go with that: ` +
      "data.root (/own), data.trainFolder (learn), data.valFraction (0.2)",
    ]);
    assert.equal((await load(path, ["data.module=/m.ts"])).source, "file:///m.ts");
    const other = await load(path, ["data.root=/other"]);
    assert.deepEqual([other.source, other.layout.valFraction, other.notes], ["/other", 0.2, []]);
    await write({ module: "./m.ts" });
    assert.equal((await load(path, ["data.root=/own"])).source, "/own");
    assert.equal((await load(path, ["data.dataset=catdog"])).source, "catdog");
    await write({ dataset: "catdog" });
    assert.equal((await load(path, ["data.module=/m.ts"])).source, "file:///m.ts");
  }));

Deno.test("two sources at one level are refused, naming both keys", () =>
  withTemporaryFolder(async (folder) => {
    const problem = async (path: string, sets: string[]) => {
      const error = await load(path, sets).then(() => undefined, (thrown) => thrown);
      assert.ok(error instanceof UsageError, String(error));
      return error.message;
    };
    assert.equal(
      await problem(recipe("default"), ["data.root=/x", "data.dataset=catdog"]),
      '--set data.root: data.root is "/x": data.dataset is set too (catdog): remove one of the two keys',
    );
    assert.match(
      await problem(recipe("default"), ["data.root=/x", "data.module=/m.ts"]),
      /^--set data\.root: data\.root is "\/x": data\.module gives the images: remove one of the two keys/,
    );
    const path = join(folder, "recipe.yaml");
    const { data, ...rest } = tinyConfig("/p");
    await Deno.writeTextFile(path, stringify({ ...rest, data: { ...data, dataset: "catdog" } }));
    assert.match(
      await problem(path, []),
      /recipe\.yaml, line \d+: data\.root is "\/p": data\.dataset is set too \(catdog\)/,
    );
  }));

Deno.test("a resumed run's data set may lie in a folder: its layout and name stay", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "config.yaml");
    const config = await loadConfig(recipe("cifar10-resnet18"));
    await Deno.writeTextFile(path, stringify(config));
    const { name, source, layout, notes } = await load(path, ["data.root=/cifar"], loadRunConfig);
    assert.deepEqual([name, source, layout.format], ["cifar10-resnet18", "/cifar", "cifar10"]);
    assert.equal(notes.length, 1);
  }));

Deno.test("a run without a name has that of its images, whatever the folder is called", () => {
  const name = (data: Partial<ConfigInput["data"]>) => {
    const { name: _, ...config } = tinyConfig("/p");
    const { root: __, ...rest } = config.data;
    return validateConfig({ ...config, data: { ...rest, ...data } as ConfigInput["data"] }).name;
  };
  const names: [string, string][] = [
    ["/x/photos", "photos"],
    ["/x/photos/", "photos"],
    ["/x/./photos/.", "photos"],
    ["/", "run"],
    [".", basenameOf(Deno.cwd())],
    ["/x/my photos ", "my photos"],
    ["/x/naïve 図", "naïve 図"],
    ["/x/a\x1b[31mb", "a [31mb"],
    ["/x/a\nb", "a b"],
    ["/x/\u202e", "run"],
    [`/x/${"y".repeat(200)}`, "y".repeat(80)],
    ["/x/photos.tar.gz", "photos"],
    ["/x/my.photos.zip", "my.photos"],
    ["file:///x/my%20photos", "my photos"],
  ];
  for (const [root, expected] of names) assert.equal(name({ root }), expected, root);
  assert.equal(name({ dataset: "catdog" }), "catdog");
  assert.equal(name({ module: "/m.ts" }), "run");
});

function basenameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
