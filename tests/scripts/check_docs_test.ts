import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { checkDocs, type Facts, projectFacts, schemaKeys } from "../../scripts/check_docs.ts";
import { parseMarkdown } from "../../scripts/markdown.ts";

const FACTS: Facts = {
  tasks: new Set(["train", "test"]),
  commands: new Map([
    ["train", {
      name: "train",
      summary: "Train",
      flags: [{ name: "workers", short: "w", value: "N", help: "" }, {
        name: "set",
        value: "K",
        help: "",
      }],
    }],
    ["test step", {
      name: "test step",
      summary: "A part with flags of its own",
      flags: [{ name: "batch", value: "N", help: "" }],
    }],
  ]),
  configKeys: new Set(["train", "train.lr", "model", "model.name"]),
};

/** Makes a project of the given files, checks its docs, and removes it. */
async function check(files: Record<string, string>): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "lockstep-docs-" });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    return await checkDocs(root, FACTS);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("checkDocs() accepts pages whose links, commands and keys hold", async () => {
  assert.deepEqual(
    await check({
      "README.md":
        "# Top\n\nSee [a](docs/a.md#two-words), [here](#top), [web](https://x.example/y),\n" +
        '[file][1] and ![p](<docs/img/a b.png> "title").\n\n[1]: docs/a.md\n\n' +
        "```sh\ndeno task train --workers 2 \\\n  --set train.lr=0.1 # --nonsense\n```\n\n" +
        "`deno task train -w 2`, `train.lr`, `model.json`, `history.what`, `deno task test --filter x`, " +
        "`deno task test step --batch 2`\n" +
        "`[not](a-link.md)`\n",
      "docs/a.md": "## Two `words`!\n\n[up](../README.md)\n",
      "docs/img/a b.png": "",
    }),
    [],
  );
});

const WRONG: [string, string, string][] = [
  ["a link to no file", "[a](docs/b.md)", "docs/b.md leads to docs/b.md, which doesn't exist"],
  ["a name with a space", "![a](<docs/a b.png>)", "docs/a b.png leads to docs/a b.png, which"],
  ["an image that is missing", '<img src="docs/x.png">', "docs/x.png leads to docs/x.png, which"],
  [
    "a link to no heading",
    "# Usage\n[a](#usages)",
    "README.md has no heading #usages; there is #us",
  ],
  ["a heading of another page", "[a](docs/a.md#b)", "docs/a.md has no heading #b"],
  ["a link out of the project", "[a](../secret.md)", "../secret.md leads out of the project"],
  ["a task that doesn't exist", "`deno task trian`", "deno.json has no task trian; there is train"],
  ["an unknown flag", "`deno task train --worker 2`", "deno task train has no flag --worker"],
  [
    "an unknown flag of a part",
    "`deno task test step --workers 2`",
    "deno task test step has no flag --workers",
  ],
  ["an unknown letter", "`deno task train -x`", "deno task train has no flag -x"],
  ["a flag after a continued line", "```\ndeno task train \\\n  --gpu\n```", "has no flag --gpu"],
  [
    "an unknown key in --set",
    "`deno task train --set train.rl=1`",
    "The config has no key train.rl",
  ],
  ["an unknown key", "| `train.lrr` | rate |", "has no key train.lrr; there is train.lr"],
];
for (const [what, text, expected] of WRONG) {
  Deno.test(`checkDocs() finds ${what}`, async () => {
    const [problem, ...rest] = await check({ "README.md": `${text}\n`, "docs/a.md": "# A\n" });
    assert.match(problem ?? "(nothing)", /^README\.md:\d+: /);
    assert.ok(problem.includes(expected), problem);
    assert.deepEqual(rest, []);
  });
}

Deno.test("parseMarkdown() gives a repeated heading its own anchor, and skips code blocks", () => {
  const page = parseMarkdown(
    "# A b\n# A b\n```md\n# Not a heading\n[x](y)\n```\n### `--out DIR`: É?\n",
  );
  assert.deepEqual([...page.anchors], ["a-b", "a-b-1", "--out-dir-é"]);
  assert.deepEqual(page.links, []);
  assert.deepEqual(page.code.map(({ line }) => line), [4, 5, 7]);
});

Deno.test("schemaKeys() goes through alternatives", () => {
  const schema = {
    properties: { a: { anyOf: [{}, { properties: { b: {} } }] }, c: { properties: { d: {} } } },
  };
  assert.deepEqual(schemaKeys(schema), ["a", "a.b", "c", "c.d"]);
});

Deno.test("projectFacts() reads tasks, flags and keys of Lockstep itself", async () => {
  const { tasks, commands, configKeys } = await projectFacts();
  assert.ok(tasks.has("train"));
  assert.ok(commands.get("train")?.flags.some(({ name }) => name === "workers"));
  assert.ok(commands.get("bench scaling")?.flags.some(({ name }) => name === "mode"));
  for (const key of ["train.lr", "train.schedule.gamma", "model", "nats.url"]) {
    assert.ok(configKeys.has(key), key);
  }
});
