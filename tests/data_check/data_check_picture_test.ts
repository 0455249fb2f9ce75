import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { dataCheckAsSvg, type PaintedRecord } from "../../src/data_check/data_check_picture.ts";
import { FONT_FILES } from "../../src/plots/font.ts";
import { textWidth } from "../../src/plots/svg_picture.ts";
import { visible, visiblePath } from "../../src/base/visible_text.ts";
import { makeScenes } from "../support/scenes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { inPseudoTerminal } from "../support/pseudo_terminal.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

Deno.test("visible() writes what doesn't show as escapes", () => {
  assert.equal(visible("plain ü 日本.jpg"), "plain ü 日本.jpg");
  assert.equal(visible("a\nb\tc\r"), "a\\nb\\tc\\r");
  assert.equal(visible("\x1b[31m\x9b\x7f"), "\\x1b[31m\\x9b\\x7f");
  assert.equal(visible("a\u202egpj.exe"), "a\\u202egpj.exe");
  assert.equal(visible("\ud800x"), "\ufffdx");
  assert.equal(visiblePath("val/dog /a b.jpg"), '"val/dog /a b.jpg"');
  assert.equal(visiblePath("val/dog/a b.jpg"), "val/dog/a b.jpg");
});

/** Left and right end of each text of an SVG. */
function extents(svg: string): { text: string; from: number; to: number }[] {
  const fonts = FONT_FILES;
  const unescape = (text: string) =>
    text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
      .replaceAll("&amp;", "&");
  const pattern =
    /<text x="([\d.]+)" y="[\d.]+" font-size="([\d.]+)" fill="#\w+" text-anchor="(start|end)"( font-weight="bold")?>([^<]*)</g;
  return [...svg.matchAll(pattern)].map(([, x, size, anchor, bold, content]) => {
    const text = unescape(content);
    const width = textWidth(text, Number(size), fonts, bold ? "bold" : "normal");
    const from = anchor === "start" ? Number(x) : Number(x) - width;
    return { text, from, to: from + width };
  });
}

Deno.test("dataCheckAsSvg() clips no text, with 100 classes and long names", async () => {
  const classes = Array.from({ length: 100 }, (_, index) => ({
    name: `class <${index}> & "${"long name ".repeat(index % 12)}"`,
    train: 123_456 - index,
    val: index,
    unusable: 0,
  }));
  const record: PaintedRecord = {
    data: "a/very/long/path/".repeat(20),
    sides: ["train", "val"],
    classes,
    counts: { error: 1, warning: 0, note: 2 },
  };
  const image = { width: 2, height: 3, data: new Uint8Array(18) };
  const files = [`train/${"folder ".repeat(30)}/<b>.jpg`, `val/x/${"name".repeat(50)}.jpg`];
  const finding = { kind: "nearAcrossSides" as const, files, detail: "x".repeat(200), distance: 4 };
  const svg = await dataCheckAsSvg(
    record,
    [{ finding, images: [image, image] }],
    FONT_FILES,
  );
  const texts = extents(svg);
  assert.equal(texts.length, svg.match(/<text /g)!.length);
  assert.ok(texts.length > 300);
  for (const { text, from, to } of texts) {
    assert.ok(from >= 0 && to <= 1100, `${from}–${to} ${text}`);
  }
  assert.doesNotMatch(svg, /<b>|<\d+>/);
});

Deno.test("data check on a terminal of 60 columns leaves no bar behind and fits", () =>
  withTemporaryFolder(async (folder) => {
    await makeScenes(join(folder, "photos"));
    const command = [Deno.execPath(), "run", "--quiet", "--allow-all", join(ROOT, "src/cli.ts")];
    const { code, raw, lines } = await inPseudoTerminal(
      [
        ...command,
        "data",
        "check",
        join(folder, "photos"),
        "--out",
        join(folder, "out"),
        "--near-distance",
        "16",
      ],
      { columns: 60 },
    );
    assert.equal(code, 0, lines.join("\n"));
    assert.match(raw, /check {2}[█░]+/);
    assert.doesNotMatch(lines.join("\n"), /[█░]/);
    assert.match(lines.join("\n"), /^class {2,}train {2,}val {2,}share/m);
    assert.match(raw, /0 errors/);
  }));
