import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { checkDocs } from "../../scripts/check_docs.ts";
import plugin from "../../scripts/lint_words.ts";
import { findRetiredWords, isExempt, RETIRED_WORDS } from "../../scripts/retired_words.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

for (const { example, instead } of RETIRED_WORDS) {
  Deno.test(`the lint plugin refuses "${example}" in a comment`, () => {
    const found = Deno.lint.runPlugin(plugin, "src/a.ts", `// ${example}\nexport const a = 1;\n`);
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.equal(found[0].id, "lockstep/retired-words");
    assert.match(found[0].message, /is retired: write "/);
    assert.ok(found[0].message.includes(instead));
    assert.ok(found[0].range[0] >= "// ".length, "the comment's words, not its beginning");
  });
}

Deno.test("the lint plugin finds retired words in code and in comments after it", () => {
  const found = Deno.lint.runPlugin(
    plugin,
    "src/a.ts",
    "const MOST_LINES = 3;\nexport const crew = MOST_LINES;\n// a sign of life\n",
  );
  assert.deepEqual(found.map(({ message }) => message.split(" is retired")[0]), [
    '"MOST_LINES"',
    '"crew"',
    '"MOST_LINES"',
    '"sign of life"',
  ]);
});

Deno.test("the lint plugin refuses summaries that are clauses, and no other comments", () => {
  const lint = (text: string) =>
    Deno.lint.runPlugin(plugin, "src/a.ts", `${text}\nexport const a = 1;\n`)
      .map(({ id, message }) => `${id}: ${message.split(":")[0]}`);
  const refused = (word: string) => [`lockstep/doc-summary: A doc comment begins with "${word}"`];
  for (const word of ["What", "Who", "Where", "How", "When", "Which", "Whether", "Why", "Whose"]) {
    assert.deepEqual(lint(`/** ${word} it is. */`), refused(word));
    assert.deepEqual(lint(`/**\n * ${word} it is.\n *\n * @module\n */`), refused(word));
  }
  for (
    const comment of [
      "/** The place where it is. */",
      "/** Returns how many there are. */",
      "/** Whatever. */",
      "/**\n * The lines.\n *\n * Where there are none, it is empty.\n */",
      "// Where the loop ends",
      "/* How it works */",
    ]
  ) assert.deepEqual(lint(comment), [], comment);
});

Deno.test("findRetiredWords() lets words stand that only contain a retired one", () => {
  for (
    const text of [
      "the most lines, at least 3",
      "earlyStopping: { patience: 3 }",
      "the config key liveness.lostAfter",
      "optimizer.slots, slot 3",
      "a heartbeat, heartbeats",
      "ALMOST_ALL",
      "the user is told what to do; nothing was told.",
      'page.hidden = true; `<p hidden aria-hidden="true" class="visually-hidden">`',
      "a hands-on guide; notes that are taken",
      "uint32 words, many words of a message",
    ]
  ) assert.deepEqual(findRetiredWords(text), [], text);
});

Deno.test("only the list, its tests and the changelog may hold retired words", () => {
  assert.ok(isExempt("CHANGELOG.md"));
  assert.ok(!isExempt("docs/design.md"));
  assert.ok(!isExempt("src/cluster/cluster.ts"));
});

Deno.test("checkDocs() finds retired words in Markdown, HTML and CSS", async () => {
  await withTemporaryFolder(async (root) => {
    const files = {
      "README.md": "# Title\n\nA crew of workers.\n",
      "docs/a.md": "Without a sign of life.\n",
      "src/web/page.html": "<p>crew</p>\n",
      "src/web/page.css": "/* a crew */\n",
      "CHANGELOG.md": "The crew became a cluster.\n",
      "tests/fixtures/a.md": "A crew.\n",
    };
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    const facts = {
      tasks: new Set<string>(),
      commands: new Map(),
      configKeys: new Set<string>(),
    };
    assert.deepEqual(await checkDocs(root, facts), [
      'README.md:3: "crew" is retired: write "cluster" (docs/glossary.md)',
      'docs/a.md:1: "sign of life" is retired: write "heartbeat" (docs/glossary.md)',
      'src/web/page.css:1: "crew" is retired: write "cluster" (docs/glossary.md)',
      'src/web/page.html:1: "crew" is retired: write "cluster" (docs/glossary.md)',
    ]);
  });
});
