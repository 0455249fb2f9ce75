import assert from "node:assert/strict";
import { moment } from "../../src/web/moment.ts";

Deno.test("moment() shows a time to the second, in UTC, and keeps it exact for programs", () => {
  const html = String(moment("2026-11-28T21:50:44.123Z"));
  assert.equal(html, '<time datetime="2026-11-28T21:50:44.123Z">2026-11-28 21:50:44 UTC</time>');
});
