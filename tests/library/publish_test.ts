/**
 * The published files: all that the library and the commands reach, and nothing else.
 *
 * @module
 */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { runDeno } from "../support/run_deno.ts";

const ROOT = pathToFileURL(PROJECT_ROOT + "/").href;
/** Bytes of all published files together. */
const MAX_BYTES = 5_000_000;

async function deno(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runDeno(args, { cwd: PROJECT_ROOT });
  assert.equal(code, 0, stdout + stderr);
  return stdout + stderr;
}

/** Files of this repository that a module reaches, assets included. */
async function reached(entry: string): Promise<string[]> {
  const { modules } = JSON.parse(await deno("info", "--json", entry)) as {
    modules: { specifier: string }[];
  };
  return modules.map(({ specifier }) => specifier).filter((each) => each.startsWith(ROOT));
}

Deno.test("deno publish takes what mod.ts and cli.ts reach, without tests, images, fixtures and scripts", async () => {
  const [text, ...graphs] = await Promise.all([
    deno("publish", "--dry-run", "--allow-dirty", "--no-check"),
    ...["mod.ts", "src/cli.ts"].map(reached),
  ]);
  const files = Array.from(text.matchAll(/^ +(file:\S+) \(/gm), ([, url]) => url);
  const published = new Set(files);
  const needed = new Set(graphs.flat());
  assert.ok(needed.size > 300 && published.size > 300, `${needed.size} of ${published.size}`);
  assert.deepEqual([...needed].filter((url) => !published.has(url)), [], "needed, not published");
  for (const asset of ["src/web/theme.css", "configs/default.yaml", "deno.json", "LICENSE"]) {
    assert.ok(needed.has(ROOT + asset), asset);
  }
  const others = files.map((url) => url.slice(ROOT.length)).filter((path) =>
    !needed.has(ROOT + path)
  );
  const known =
    /^(configs\/([\w-]+\.yaml|config\.schema\.json)|(docs\/[\w-]+|README|CHANGELOG)\.md|LICENSE)$/;
  assert.deepEqual(others.filter((path) => !known.test(path)), [], "published, but not needed");
  assert.ok(published.has(ROOT + "configs/config.schema.json"), "for editors");
  const sizes = await Promise.all(files.map(async (url) => (await Deno.stat(new URL(url))).size));
  assert.ok(sizes.reduce((sum, size) => sum + size) < MAX_BYTES);
});
