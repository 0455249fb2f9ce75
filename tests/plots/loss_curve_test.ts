import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import type { History } from "../../src/records/history.ts";
import { writeLossCurve } from "../../src/plots/loss_curve.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** 3 epochs of 100 pictures: a point of the loss every 10, validations before, within and after. */
const HISTORY: History = {
  config: { name: "digits <&>" },
  epochs: [],
  losses: Array.from({ length: 30 }, (_, at) => ({
    examples: 10 * (at + 1),
    epoch: 1 + Math.floor(at / 10),
    step: 1 + at % 10,
    loss: at === 12 ? NaN : 2 / (at + 1),
  })),
  validations: [0, 50, 100, 200, 300].map((examples) => ({
    examples,
    epoch: 1,
    step: 0,
    loss: 2.3 - examples / 200,
    accuracy: 0.5,
  })),
  best: { epoch: 0, accuracy: NaN },
  workers: 1,
};

Deno.test("writeLossCurve() draws the training loss against images seen, and a dot per validation", () =>
  withTemporaryFolder(async (folder) => {
    await writeLossCurve(folder, HISTORY);
    const svg = await Deno.readTextFile(join(folder, "losses.svg"));
    const texts = Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    const expected = [
      "digits &lt;&amp;&gt;",
      "number of training examples seen",
      "negative log likelihood loss",
      "train",
      "validation",
      "300",
    ];
    for (const text of expected) assert.ok(texts.includes(text), `${text}: ${texts.join(" | ")}`);
    const marks = (role: string) =>
      Array.from(svg.matchAll(/<path\b[^>]*>/g), ([tag]) => tag)
        .filter((tag) => tag.includes(`aria-roledescription="${role}"`));
    assert.equal(marks("point").length, HISTORY.validations.length);
    const [line, ...others] = marks("line mark");
    assert.equal(others.length, 0);
    const shape = / d="([^"]*)"/.exec(line)![1];
    assert.equal(shape.match(/M/g)!.length, 2, "a gap where the loss is NaN");
    assert.equal(shape.match(/[ML]/g)!.length, 29);

    const image = await Image.decode(await Deno.readFile(join(folder, "losses.png"))) as Image;
    assert.ok(image.width >= 1600, `${image.width} px wide: sharp on a dense screen`);
    for (let x = 1; x <= image.width; x++) {
      for (const y of [1, image.height]) assert.equal(image.getPixelAt(x, y), 0xffffffff);
    }
    for (let y = 1; y <= image.height; y++) {
      for (const x of [1, image.width]) assert.equal(image.getPixelAt(x, y), 0xffffffff);
    }
  }));
