import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { html } from "../../src/web/html.ts";
import { renderPage } from "../../src/web/page.ts";

Deno.test("renderPage() allows its own scripts and styles by hash, and nothing else", () => {
  const text = renderPage({
    title: "<Title>",
    body: html`<main id="main"></main>`,
    styles: ["main { color: red }"],
    scripts: ["console.log('ran')"],
    data: { numbers: [1, NaN] },
  });
  const [, escaped] = /Content-Security-Policy" content="([^"]*)"/.exec(text)!;
  const policy = escaped.replaceAll("&#39;", "'");
  const elements = [...text.matchAll(/<(script|style)>(.*?)<\/\1>/gs)];
  assert.equal(elements.length, 9);
  for (const [, kind, body] of elements) {
    const hash = createHash("sha256").update(body).digest("base64");
    const directive = policy.split("; ").find((each) => each.startsWith(`${kind}-src`));
    assert.ok(directive?.includes(`'sha256-${hash}'`), `${kind} ${body.slice(0, 30)}`);
  }
  assert.match(policy, /^default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|connect-src|https?:/);
  assert.match(text, /<title>&lt;Title&gt;<\/title>/);
  assert.match(text, /id="numbers">\[1,null\]</);
});

Deno.test("renderPage() carries uPlot's licence, in script and style", () => {
  const text = renderPage({ title: "t", body: html`<main id="main"></main>` });
  assert.equal(text.split("The above copyright notice and this permission notice").length, 3);
});

Deno.test("renderPage() lets a page of a server ask that server", () => {
  const text = renderPage({ title: "t", body: html`<main id="main"></main>`, connect: true });
  assert.match(text, /connect-src &#39;self&#39;/);
});

Deno.test("renderPage() refuses a script that would end its element", () => {
  const page = { title: "t", body: html`<main id="main"></main>` };
  assert.throws(() => renderPage({ ...page, scripts: ["'</script>'"] }), TypeError);
  assert.throws(() => renderPage({ ...page, styles: ["/* </style> */"] }), TypeError);
});
