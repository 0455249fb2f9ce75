import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import { curvesAsSvg, curvesSpec, epochTicks, writeCurves } from "../../src/plots/curves.ts";
import { lossCurveSpec } from "../../src/plots/loss_curve.ts";
import { curvesSection } from "../../src/report/curves_section.ts";
import { MAX_POINTS, thinEpochs, thinLosses } from "../../src/plots/thin.ts";
import type { History } from "../../src/records/history.ts";

/** A history whose best epoch is `best`, with a training loss of NaN in epoch 3. */
function historyOf(epochs: number, best: number): History {
  return {
    config: { name: "food <&> fish" },
    epochs: Array.from({ length: epochs }, (_, index) => {
      const epoch = index + 1;
      const accuracy = epoch === best ? 0.912 : 0.9 - 0.5 / epoch;
      return {
        epoch,
        learningRate: 0.01,
        train: { loss: epoch === 3 ? NaN : 1.2 / epoch, accuracy: 1 - 0.6 / epoch },
        validation: { loss: 0.2 + 1 / epoch, accuracy, count: 57 },
        seconds: 4,
        imagesPerSecond: 60,
      };
    }),
    losses: [],
    validations: [],
    best: { epoch: best, accuracy: best > 0 ? 0.912 : NaN },
    workers: 2,
  };
}

/** The texts of an SVG, without markup. */
function textsOf(svg: string): string[] {
  return Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
}

/** Pixels of a region that are darker than mid-grey. */
function darkPixels(
  image: Image,
  left: number,
  top: number,
  right: number,
  bottom: number,
): number {
  let count = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      if (image.bitmap[(y * image.width + x) * 4] < 128) count++;
    }
  }
  return count;
}

Deno.test("curvesAsSvg() has a panel for metrics of the user's own, where there are such", async () => {
  const history = historyOf(5, 4);
  assert.ok(!textsOf(await curvesAsSvg(history)).includes("metrics"));
  history.epochs.forEach((record) => {
    record.metrics = { "top<2>": record.epoch / 8, surety: record.epoch === 2 ? NaN : 0.5 };
  });
  const texts = textsOf(await curvesAsSvg(history));
  for (const expected of ["metrics", "top&lt;2&gt;", "surety"]) {
    assert.ok(texts.includes(expected), `${expected} is shown`);
  }
});

Deno.test("curvesAsSvg() names run, best epoch, axes and lines", async () => {
  const texts = textsOf(await curvesAsSvg(historyOf(5, 4)));
  for (
    const expected of [
      "food &lt;&amp;&gt; fish",
      "best validation accuracy 0.912 in epoch 4, 2 workers",
      "loss",
      "accuracy",
      "train",
      "validation",
      "epoch 4: 0.450",
      "epoch 4: 0.912",
    ]
  ) assert.ok(texts.includes(expected), `${expected} is missing in ${texts.join(" | ")}`);
  assert.equal(texts.filter((text) => text === "epoch").length, 2);
  for (const epoch of "12345") assert.equal(texts.filter((text) => text === epoch).length, 2);
});

Deno.test("curvesAsSvg() breaks the line where a loss is NaN", async () => {
  const svg = await curvesAsSvg(historyOf(5, 4));
  const lines = Array.from(
    svg.matchAll(
      /aria-roledescription="line mark"[^>]*? d="([^"]*)"|d="(M[^"]*L[^"]*)"[^>]*stroke-width="2\.5"/g,
    ),
    ([, first, second]) => first ?? second,
  );
  const pieces = lines.map((path) => path.split("M").length - 1).sort();
  assert.deepEqual(pieces, [1, 1, 1, 2], "one of four lines is in two pieces");
});

Deno.test("writeCurves() draws legible pictures inside a white margin for any number of epochs", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [epochs, best] of [[0, 0], [1, 1], [2, 2], [40, 7]]) {
      await writeCurves(folder, historyOf(epochs, best));
      const bytes = await Deno.readFile(join(folder, "curves.png"));
      const image = await Image.decode(bytes) as Image;
      const { width, height } = image;
      assert.ok(width > 2000 && width < 2500, `width ${width}: sharp on a dense screen`);
      assert.ok(height > 800 && height < 1400, `height ${height}`);
      const inside = darkPixels(image, 0, 0, width, height);
      assert.equal(
        darkPixels(image, 16, 16, width - 16, height - 16),
        inside,
        "nothing at the edge",
      );
      assert.ok(
        darkPixels(image, 0, 0, 400, 90) > 1200,
        "the title is drawn, so the font was found",
      );
      assert.ok((await Deno.readTextFile(join(folder, "curves.svg"))).startsWith("<svg"));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("epochTicks() are whole, evenly spaced and at most ten", () => {
  assert.deepEqual(epochTicks(0), [1]);
  assert.deepEqual(epochTicks(5), [1, 2, 3, 4, 5]);
  assert.deepEqual(epochTicks(12), [2, 4, 6, 8, 10, 12]);
  assert.deepEqual(epochTicks(40), [5, 10, 15, 20, 25, 30, 35, 40]);
  assert.deepEqual(epochTicks(150), [20, 40, 60, 80, 100, 120, 140]);
  for (let epochs = 1; epochs < 5000; epochs++) {
    const ticks = epochTicks(epochs);
    assert.ok(ticks.length >= 1 && ticks.length <= 10, `${epochs}: ${ticks}`);
    assert.ok(ticks.every(Number.isInteger) && ticks.at(-1)! <= epochs, `${epochs}: ${ticks}`);
  }
});

Deno.test("curves of 10,000 epochs and 200,000 losses are drawn from a bounded number of points", () => {
  const history = historyOf(10_000, 6667);
  history.losses = Array.from({ length: 200_000 }, (_, index) => ({
    examples: index + 1,
    epoch: Math.floor(index / 20) + 1,
    step: index % 20 + 1,
    loss: index % 200,
  }));
  history.validations = history.epochs.map(({ epoch }) => ({
    examples: 20 * epoch,
    epoch,
    step: 20,
    loss: 1,
    accuracy: 0.5,
  }));
  const thin = thinEpochs(history.epochs, 6667);
  assert.ok(thin.length <= MAX_POINTS + 2, `${thin.length}`);
  for (const epoch of [1, 6667, 10_000]) assert.ok(thin.some((own) => own.epoch === epoch));
  const losses = thinLosses(history.losses);
  assert.equal(losses.length, 1000);
  assert.deepEqual(losses.at(-1), { examples: 200_000, loss: 99.5 });
  for (const spec of [curvesSpec(history), lossCurveSpec(history)]) {
    const text = JSON.stringify(spec);
    assert.ok(text.length < 600_000, `${text.length} characters`);
  }
  assert.match(JSON.stringify(curvesSpec(history)), /epoch 6667: 0\.912/);
  const { charts } = curvesSection(history)!;
  assert.ok(JSON.stringify(charts).length < 200_000, `${JSON.stringify(charts).length}`);
  assert.deepEqual(thinEpochs(historyOf(1000, 3).epochs, 3).length, 1000, "all of them");
});
