import assert from "node:assert/strict";
import { barLegend, stackedBar } from "../../src/web/bars.ts";

const PARTS = [
  { label: "compute", value: 30, colour: "compute" },
  { label: "nothing", value: 0, colour: "idle" },
  { label: "data <1>", value: 10, colour: "data" },
] as const;

/** Beginnings and widths of the rectangles. */
const rects = (svg: string) =>
  Array.from(
    svg.matchAll(/x="([\d.]+)"[^>]*?width="([\d.]+)"/gs),
    ([, x, width]) => [Number(x), Number(width)],
  );

Deno.test("stackedBar() gives parts their shares, without gaps and without parts of nothing", () => {
  const svg = String(stackedBar(PARTS, "40 ms"));
  assert.deepEqual(rects(svg), [[0, 750], [750, 250]]);
  assert.match(svg, /aria-label="40 ms"/);
  assert.match(svg, /data &lt;1&gt;/);
  assert.deepEqual(rects(String(stackedBar(PARTS, "40 ms", 80))), [[0, 375], [375, 125]]);
  assert.deepEqual(rects(String(stackedBar([], "nothing"))), []);
});

Deno.test("barLegend() names every colour", () => {
  assert.equal(String(barLegend(PARTS)).match(/<li>/g)?.length, 3);
});
