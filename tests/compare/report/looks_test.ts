import assert from "node:assert/strict";
import { lookOf, variantName } from "../../../src/compare/report/looks.ts";

Deno.test("lookOf() gives eight colours, then the same in dashes", () => {
  assert.deepEqual(lookOf(0), { colour: 1, dash: false });
  assert.deepEqual(lookOf(7), { colour: 8, dash: false });
  assert.deepEqual(lookOf(8), { colour: 1, dash: true });
  assert.deepEqual(lookOf(16), { colour: 1, dash: false });
});

Deno.test("variantName() shows the sign of a line, and a label as text", () => {
  const html = String(variantName("<b>lr</b>", 9));
  assert.match(html, /class="swatch dashed back-2"/);
  assert.match(html, /&lt;b&gt;lr/);
});
