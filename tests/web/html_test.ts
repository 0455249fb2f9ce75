import assert from "node:assert/strict";
import fc from "fast-check";
import { foreignName, html, join, jsonData, relativeAddress } from "../../src/web/html.ts";

const ATTACK = `<img src=x onerror=alert(1)> "quoted" & 'single'`;

Deno.test("html`` escapes what is put into it, and takes its own HTML as it is", () => {
  const inner = html`<b title="${ATTACK}">${ATTACK}</b>`;
  assert.equal(
    html`<p>${inner}${[1, null, undefined, false, "<"]}</p>`.toString(),
    `<p><b title="&lt;img src=x onerror=alert(1)&gt; &quot;quoted&quot; &amp; &#39;single&#39;">` +
      `&lt;img src=x onerror=alert(1)&gt; &quot;quoted&quot; &amp; &#39;single&#39;</b>1&lt;</p>`,
  );
  assert.equal(join(["<", html`<br>`], ", ").toString(), "&lt;, <br>");
  assert.equal(foreignName("a\0b").toString(), '<bdi class="name">a\\x00b</bdi>');
});

Deno.test("html`` refuses places where escaping doesn't help", () => {
  const value = "x";
  const refused: [string, () => unknown][] = [
    // deno-fmt-ignore
    ["attribute without quotes", () => html`<a class=${value}>`],
    ["handler", () => html`<a onclick="go('${value}')">`],
    ["style", () => html`<a style="color: ${value}">`],
    // deno-fmt-ignore
    ["script", () => html`<script>const a = ${value};</script>`],
    // deno-fmt-ignore
    ["style sheet", () => html`<style>a { color: ${value} }</style>`],
    // deno-fmt-ignore
    ["name of a tag", () => html`<${value}>`],
    ["tags in an attribute", () => html`<a title="${html`<b></b>`}">`],
    ["address that runs", () => html`<a href="${"javascript:alert(1)"}">`],
    ["address that runs, in disguise", () => html`<a href="${" JavaScript\n:alert(1)"}">`],
    ["data that runs", () => html`<a href="${"data:text/html,<script>"}">`],
  ];
  for (const [what, make] of refused) assert.throws(make, TypeError, what);
  html`<a href="${"https://example.org/?a=1&b=2"}" title="${value}">${"a = "}${value}</a>`;
  html`<img src="${"data:image/png;base64,AAAA"}"><a href="${"#here"}"></a><a href="${"./a:b"}"></a>`;
  html`
    <script></script>
    <p>${value}</p>
  `;
});

Deno.test("jsonData() can't end its element, and keeps the value", () => {
  const parts = ["</script>", "<!--", "&amp;", "\u2028", '"', "\\", "ä"];
  fc.assert(fc.property(
    fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(...parts))),
    (values) => {
      const text = jsonData("id", values).toString();
      const [, json] = /^<script type="application\/json" id="id">([^<>&]*)<\/script>$/.exec(text)!;
      assert.deepEqual(JSON.parse(json), values);
    },
  ));
});

Deno.test("relativeAddress() stays below the page's folder whatever the name", () => {
  for (const name of ["a b#?.png", "c:\\x", "100%", `"><script>`, "javascript:alert(1)"]) {
    const url = new URL(relativeAddress(name), "file:///runs/x/report.html");
    assert.equal(decodeURIComponent(url.href), `file:///runs/x/${name}`);
  }
  assert.equal(relativeAddress("checkpoints/best/"), "./checkpoints/best/");
});
