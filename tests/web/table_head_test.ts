import assert from "node:assert/strict";
import { comparePage } from "../../src/dashboard/pages.ts";
import { html } from "../../src/web/html.ts";
import { MEMBER_COLUMNS, tableHead } from "../../src/web/table_head.ts";

Deno.test("tableHead() marks columns of numbers, and escapes titles", () => {
  assert.equal(
    String(tableHead("A<b", { number: "Seed" }, html`<b>Time</b>`)).replace(/\s*\n\s*/g, ""),
    '<thead><tr><th scope="col">A&lt;b</th><th scope="col" class="number">Seed</th>' +
      '<th scope="col"><b>Time</b></th></tr></thead>',
  );
});

Deno.test("heads of tables begin with a capital letter", () => {
  const run = { summary: { id: "a" }, config: {} } as Parameters<typeof comparePage>[0][number];
  const heads = String(tableHead(...MEMBER_COLUMNS)) + comparePage([run, run]);
  const titles = [...heads.matchAll(/<th scope="col"[^>]*>([^<]+)<\/th>/g)].map(([, title]) =>
    title
  );
  assert.ok(titles.length > 14);
  assert.deepEqual(titles.filter((title) => /^[a-z]/.test(title)), []);
});
