import assert from "node:assert/strict";
import { join } from "node:path";
import { classificationReport } from "../../src/metrics/report.ts";
import {
  confusionAsPng,
  confusionAsSvg,
  writeConfusionPlot,
} from "../../src/plots/confusion_plot.ts";
import {
  completeRecord,
  type EvaluationRecord,
  readEvaluation,
  writeEvaluation,
} from "../../src/records/evaluation_file.ts";
import { evaluationLines } from "../../src/terminal/evaluation_lines.ts";
import { evaluationTitle } from "../../src/plots/evaluation_title.ts";
import { FONT_FILES } from "../../src/plots/font.ts";
import { predictionLines } from "../../src/terminal/prediction_lines.ts";
import { reliabilitySpec } from "../../src/plots/reliability_plot.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** An evaluation of `count` images per class, of which every third is taken for the next class. */
function recordOf(classes: readonly string[], count = 12): EvaluationRecord {
  const labels = Array.from(
    { length: classes.length * count },
    (_, index) => index % classes.length,
  );
  const first = labels.map((label, index) =>
    Math.floor(index / classes.length) % 3 === 0 ? (label + 1) % classes.length : label
  );
  const { count: scored, ...measures } = classificationReport({
    labels,
    width: 1,
    ranked: first,
    probabilities: labels.map((_, index) => 0.5 + index % 7 / 15),
  }, classes);
  return completeRecord({
    model: { name: "plain_cnn", run: "a-run", checkpoint: "runs/a-run/checkpoints/best", epoch: 3 },
    data: { root: "images", split: "val", pictures: scored, fingerprint: "0" },
    workers: 2,
    seconds: 1,
    classes: [...classes],
    count: scored,
    loss: 0.5,
    ...measures,
    mistakes: [],
    skipped: [],
  }, "0.0.0");
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `class ${index}`);

Deno.test("readEvaluation() reads what writeEvaluation() wrote, with what isn't known", () =>
  withTemporaryFolder(async (folder) => {
    assert.equal(await readEvaluation(folder), undefined);
    const record = recordOf(["a", "b", "c"]);
    record.perClass[2].recall = NaN;
    record.loss = Infinity;
    await writeEvaluation(folder, record);
    assert.deepEqual(await readEvaluation(folder), { ...record, loss: NaN });
    const path = join(folder, "evaluation.json");
    const { classes: _, ...rest } = record;
    await Deno.writeTextFile(path, JSON.stringify(rest));
    await assert.rejects(readEvaluation(folder), /is not an evaluation, classes: .*make it anew/);
    await Deno.writeTextFile(path, "{");
    await assert.rejects(readEvaluation(folder), /is not valid JSON/);
  }));

Deno.test("evaluationLines() fits the width: the matrix, or else the most frequent confusions", () => {
  const wide = evaluationLines(recordOf(numbered(4)), 80);
  assert.ok(wide.includes("true     class 0  class 1  class 2  class 3"), wide.join("\n"));
  assert.ok(wide.includes("class 1        ·        8        4        ·"), wide.join("\n"));
  for (const width of [40, 60, 80]) {
    const lines = evaluationLines(recordOf(numbered(20)), width);
    const table = lines.slice(lines.findIndex((line) => line.startsWith("class ")));
    assert.ok(table.every((line) => line.length <= width), table.join("\n"));
    assert.ok(lines.includes("  class 0 → class 1: 4 of 12 (33.3%)"), lines.join("\n"));
    assert.equal(lines.filter((line) => line.includes("→")).length, 10);
  }
  const escaping = evaluationLines(recordOf(["\x1b[31mred", "b"]), 80).join("\n");
  // deno-lint-ignore no-control-regex -- that is what is looked for
  assert.doesNotMatch(escaping, /\x1b/);
});

Deno.test("the confusion matrix has every count and name, from 2 to 60 classes, in cells that hold them", async () => {
  const fonts = FONT_FILES;
  for (const count of [2, 3, 10, 26, 60]) {
    const names = numbered(count).map((name) => `${name} & <${"long".repeat(count % 5)}>`);
    const record = recordOf(names);
    const svg = await confusionAsSvg(record, fonts);
    const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    const filled = record.confusionMatrix!.flat().filter((value) => value > 0);
    assert.equal(texts.filter((text) => /^\d+$/.test(text)).length, filled.length);
    assert.equal(texts.filter((text) => /^\d+%$/.test(text)).length, filled.length);
    assert.equal(texts.filter((text) => text.startsWith("class ")).length, 2 * count);
    assert.ok(!svg.includes("& <") && svg.includes("&amp; &lt;"));
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
    for (const [, x, y] of svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"/g)) {
      assert.ok(Number(x) < width && Number(y) < height, `${x}, ${y} of ${width} × ${height}`);
    }
    const size = Number(/font-size="([\d.]+)"[^>]*>\d+<\/text>/.exec(svg)![1]);
    assert.ok(size >= 8, `${size} pixels, drawn at twice the size`);
  }
});

Deno.test("the confusion matrix survives large counts, control characters and empty rows", () =>
  withTemporaryFolder(async (folder) => {
    const record = recordOf(["a\x01b", "\u{1F41F} fish", "c"]);
    record.confusionMatrix = [[123_456, 1, 0], [0, 0, 0], [999, 1, 7]];
    await writeConfusionPlot(folder, record);
    const svg = await Deno.readTextFile(join(folder, "confusion.svg"));
    for (const text of ["123456", "&lt;1%", "&gt;99%", "99%", "1%", "a b"]) {
      assert.ok(svg.includes(`>${text}<`), text);
    }
    const png = await Deno.readFile(join(folder, "confusion.png"));
    const [, width] = /width="(\d+)"/.exec(svg)!.map(Number);
    assert.equal(new DataView(png.buffer).getUint32(16), 2 * width, "sharp at twice the size");
  }));

Deno.test("predictionLines() fits a terminal's width, and leaves names whole in a pipe", () => {
  const path = `photos/${"long/".repeat(20)}a.jpg`;
  const image = {
    path,
    predictions: [
      { class: "green-leafy-vegetables", probability: 0.9731 },
      { class: "\x1b[31mfruits", probability: 0.0269 },
    ],
  };
  const facts = { paths: [path], classes: ["green-leafy-vegetables", "fruits"], top: 2 };
  for (const width of [60, 100]) {
    const lines = predictionLines("table", { ...facts, width });
    const [line] = lines.of(image);
    assert.ok(line.length <= width && lines.head[0].length <= width, line);
    assert.match(line, /….*a\.jpg +green-leafy-vegetables +97\.3%/);
  }
  const [whole] = predictionLines("table", { ...facts, width: Infinity }).of(image);
  assert.equal(whole, `${path}  green-leafy-vegetables   97.3%  \\x1b[31mfruits 2.7%`);
  const [json] = predictionLines("json", { ...facts, width: 80 }).of(image);
  assert.deepEqual(JSON.parse(json), image);
  const csv = predictionLines("csv", { ...facts, width: 80 });
  assert.deepEqual(csv.head, ["path,predicted_class,probability,class_2,probability_2\r"]);
  const [row] = csv.of({ ...image, path: 'a,"b"' });
  assert.match(row, /^"a,""b""",green-leafy-vegetables,0\.973100,/);
  assert.deepEqual(csv.ofUnread({ path, error: "x" }), []);
});

Deno.test("the confusion matrix of many classes is an image of bounded size with the worst confusions", async () => {
  const fonts = FONT_FILES;
  for (const count of [61, 400, 1000]) {
    const record = recordOf(numbered(count), 3);
    assert.equal(record.confusionMatrix === undefined, count > 256);
    const svg = await confusionAsSvg(record, fonts);
    assert.ok(svg.length < 400_000, `${svg.length} characters`);
    const elements = svg.match(/<(rect|text|image)/g)!.length;
    assert.ok(elements < 120, `${elements} elements, whatever the number of classes`);
    const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    assert.ok(texts.includes("class 0") && texts.includes("class 1") && texts.includes("33.3%"));
    assert.ok(texts.includes(`and ${count - 20} more`), texts.join());
    const png = await confusionAsPng(record);
    const view = new DataView(png.buffer);
    assert.ok(view.getUint32(16) < 1040 && view.getUint32(20) < 1520);
    const lines = evaluationLines(record, 80);
    assert.ok(lines.length < 160, `${lines.length} lines`);
  }
});

Deno.test("an evaluation's images are titled by run, model, set and epoch, not by a folder", async () => {
  const fonts = FONT_FILES;
  const timed = "20261128-184114-photos";
  for (const [count, split] of [[3, "val"], [80, "train"]] as const) {
    const record = recordOf(numbered(count));
    record.model = {
      ...record.model,
      name: "efficientnet_lite0",
      run: timed,
      runName: "My <photos> \u202eof 2026",
      epoch: 12,
    };
    record.data = { ...record.data, split };
    const set = split === "val" ? "validation set" : "training set";
    const expected = ["My <photos> \\u202eof 2026", `efficientnet_lite0, ${set}, epoch 12`];
    const { title, detail } = evaluationTitle(record);
    assert.deepEqual([title, detail], expected);
    const { title: shown } = reliabilitySpec(record) as {
      title: { text: string; subtitle: string[] };
    };
    assert.deepEqual([shown.text, shown.subtitle[0]], expected);
    const svg = await confusionAsSvg(record, fonts);
    const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    assert.deepEqual(
      texts.slice(0, 2),
      expected.map((text) => text.replace("<", "&lt;").replace(">", "&gt;")),
    );
    assert.ok(!svg.includes(timed) && !JSON.stringify(shown).includes(timed));
  }
  // A bare checkpoint has no run, a file of weights no epoch; a long name is cut.
  const data = { split: "val" } as const;
  assert.deepEqual(evaluationTitle({ model: { name: "vgg11" }, data }), {
    title: "vgg11",
    detail: "validation set",
  });
  assert.equal(
    evaluationTitle({ model: { name: "a", runName: "b".repeat(80) }, data }).title.length,
    44,
  );
});
