import assert from "node:assert/strict";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { startProcess } from "../support/tiny_run.ts";

const { tasks } = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}/deno.json`));
const [, ...CHECK] = tasks["check:spelling"].command.split(" ");

/** Checks a text as if it stood in a file of the project. */
async function check(path: string, text: string) {
  const process = startProcess([Deno.execPath(), ...CHECK, "--no-color", `stdin://${path}`], {
    cwd: PROJECT_ROOT,
    stdin: "piped",
  });
  await process.send(text);
  await process.closeInput();
  return await process.result;
}

Deno.test("check:spelling finds misspelt words in comments, names and messages, with their places", async () => {
  // cspell:disable-next-line
  const text = "// A mesage of the coordniator\nconst weigths = 1;\nthrow new Error(`It faild`);\n";
  const { code, stdout } = await check("src/x.ts", text);
  assert.equal(code, 1);
  const found = [...stdout.matchAll(/^src\/x\.ts:(\d+:\d+) - .*?\((\w+)\)/gm)];
  assert.deepEqual(found.map(([, place, word]) => `${place} ${word}`), [
    // cspell:disable-next-line
    ...["1:6 mesage", "1:20 coordniator", "2:7 weigths", "3:21 faild"],
  ]);
});

Deno.test("check:spelling takes both spellings of English, and the terms of the field", async () => {
  const text = "# Colour and color\n\nThe all-reduce of EfficientNet's logits as safetensors.\n";
  const { code, stdout } = await check("docs/x.md", text);
  assert.equal(code, 0, stdout);
});
