import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  exportedFunction,
  hashModule,
  importModule,
  moduleSchema,
  moduleUrl,
  thrownMessage,
} from "../../src/base/user_module.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

async function write(folder: string, files: Record<string, string>): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    await Deno.mkdir(join(path, ".."), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
  return pathToFileURL(join(folder, Object.keys(files)[0])).href;
}

Deno.test("moduleSchema makes URLs of paths, and refuses other schemes than file:", () => {
  assert.equal(moduleSchema.parse("file:///a/b.ts"), "file:///a/b.ts");
  assert.equal(moduleSchema.parse("/a/b c.ts"), "file:///a/b%20c.ts");
  assert.equal(moduleSchema.parse("./m.ts"), pathToFileURL(join(Deno.cwd(), "m.ts")).href);
  assert.equal(moduleUrl("../m.ts", "/a/b"), "file:///a/m.ts");
  for (const url of ["https://a.b/c.ts", "npm:zod", "jsr:@std/path", "data:text/javascript,1"]) {
    const { error } = moduleSchema.safeParse(url);
    assert.match(error!.issues[0].message, /from files only, never from the network/, url);
  }
});

Deno.test("hashModule() covers what is imported by relative paths, wherever the files lie", () =>
  withTemporaryFolder(async (folder) => {
    const files = {
      "m/main.ts": 'import { a } from "./a.ts";\nexport const f = () => import("../b.ts");',
      "m/a.ts": 'export * from "./a.ts";\n// from "./missing.ts"',
      "b.ts": "export {};",
    };
    const [one, two] = [join(folder, "one"), join(folder, "two", "deeper")];
    const first = await hashModule("key", await write(one, files));
    const url = await write(two, files);
    assert.equal(await hashModule("key", url), first);
    await Deno.writeTextFile(join(two, "b.ts"), "export { };");
    assert.notEqual(await hashModule("key", url), first);
    await assert.rejects(
      hashModule("model.module", `${url}x`),
      /model\.module: file:.*main\.tsx: the file is missing; paths in a YAML file/,
    );
  }));

Deno.test("importModule() imports a changed file anew, and says where code threw", () =>
  withTemporaryFolder(async (folder) => {
    const url = await write(folder, { "m.ts": "export const f = () => 1;" });
    const before = await importModule("key", url);
    assert.equal(exportedFunction<() => number>(before, "f")(), 1);
    await write(folder, { "m.ts": "\nexport const f = () => { throw new Error('late'); };" });
    const after = await importModule("key", url);
    assert.notEqual(after.sha256, before.sha256);
    try {
      exportedFunction<() => number>(after, "f")();
      assert.fail("it throws");
    } catch (error) {
      const message = thrownMessage(after, "f()", error);
      assert.match(message, /^f\(\) of file:.*m\.ts:2:\d+ threw: late$/);
    }
    assert.throws(
      () => exportedFunction(after, "g"),
      /key: file:.*m\.ts exports no function g, but f: rename f/,
    );
  }));
