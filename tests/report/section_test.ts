import assert from "node:assert/strict";
import { sectionHtml } from "../../src/report/section.ts";

Deno.test("sectionHtml() links a section to its title, and shows texts as texts", () => {
  const html = String(sectionHtml({ id: "curves", title: "A <b>", body: "x & y", note: "n" }));
  assert.match(html, /<section id="curves" aria-labelledby="curves-title">/);
  assert.match(html, /<h2 id="curves-title">A &lt;b&gt;<\/h2>/);
  assert.match(html, /<p class="note">n<\/p>/);
  assert.match(html, /x &amp; y/);
  assert.doesNotMatch(String(sectionHtml({ id: "a", title: "b", body: "c" })), /note/);
});
