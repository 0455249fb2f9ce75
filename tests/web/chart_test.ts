import assert from "node:assert/strict";
import { chartFigure } from "../../src/web/chart.ts";

Deno.test("chartFigure() can be read, heard and found without its picture", () => {
  const html = String(
    chartFigure({ id: "loss", title: "Loss & more", summary: "It falls.", note: "n" }),
  );
  assert.match(html, /data-chart="loss" id="chart-loss"/);
  assert.match(html, /<h3>Loss &amp; more<\/h3><p class="note">n<\/p>/);
  assert.match(html, /aria-label="Loss &amp; more\. It falls\. Arrow keys/);
  assert.match(html, /<summary>Values as a table<\/summary>/);
  assert.match(html, /<noscript>/);
});
