import assert from "node:assert/strict";
import { join } from "node:path";
import { Image } from "imagescript";
import { drawPictureGrid, type Tile, writePictureGrid } from "../../src/plots/picture_grid.ts";

const GREEN = [0x1a, 0x7f, 0x37];
const RED = [0xc6, 0x28, 0x28];

/** A tile of one colour. */
function tile(side: number, rgb: number[], title: string, colour?: Tile["colour"]): Tile {
  const bytes = Uint8Array.from({ length: side * side * 3 }, (_, index) => rgb[index % 3]);
  return { width: side, height: side, rgb: bytes, title, colour };
}

/** The bounding box of the pixels that `wanted` accepts, and how many there are. */
function boxOf(image: Image, wanted: (rgb: number[]) => boolean) {
  const box = { left: Infinity, top: Infinity, right: -1, bottom: -1, count: 0 };
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const at = (y * image.width + x) * 4;
      if (!wanted(Array.from(image.bitmap.subarray(at, at + 3)))) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
      box.count++;
    }
  }
  return box;
}

const same = (expected: number[]) => (rgb: number[]) => rgb.every((v, i) => v === expected[i]);

Deno.test("writePictureGrid() places every picture, pixel for pixel, in rows of the given columns", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const colours = [[10, 20, 250], [250, 200, 10], [10, 250, 20]];
    const path = join(folder, "batch.png");
    const tiles = colours.map((rgb) => tile(160, rgb, "fruits"));
    await writePictureGrid(path, tiles, { columns: 2, heading: "Batch" });
    const image = await Image.decode(await Deno.readFile(path)) as Image;
    const boxes = colours.map((rgb) => boxOf(image, same(rgb)));
    for (const { left, right, top, bottom, count } of boxes) {
      assert.equal(right - left + 1, 160);
      assert.equal(bottom - top + 1, 160);
      assert.equal(count, 160 * 160, "no text over the picture");
    }
    assert.ok(boxes[1].left > boxes[0].right && boxes[1].top === boxes[0].top);
    assert.ok(boxes[2].top > boxes[0].bottom && boxes[2].left === boxes[0].left);
    assert.deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["batch.png"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("drawPictureGrid() frames right predictions green and wrong ones red, titles too", () => {
  const grey = [128, 128, 128];
  const tiles = [tile(160, grey, "fruits", "good"), tile(160, grey, "a (true: b)", "bad")];
  const image = drawPictureGrid(tiles, { columns: 2, heading: "" });
  const green = boxOf(image, same(GREEN));
  const red = boxOf(image, same(RED));
  assert.equal(green.right - green.left + 1, 168, "the frame is the widest green thing");
  assert.ok(green.bottom - green.top > 168 + 5, "the title below is green");
  assert.equal(red.right - red.left + 1, 168);
  assert.ok(red.bottom - red.top > 168 + 5);
  assert.ok(red.left > green.right);
});

Deno.test("drawPictureGrid() keeps long titles inside their tile", () => {
  const title = "supercalifragilisticexpialidociously-long-class-name-number-one (true: another)";
  const tiles = [tile(160, [255, 255, 255], "x"), tile(160, [255, 255, 255], title, "bad")];
  const image = drawPictureGrid(tiles, { columns: 2, heading: "" });
  const reddish = boxOf(image, ([r, g, b]) => r - g > 60 && r - b > 60);
  assert.ok(reddish.right - reddish.left + 1 <= 168, JSON.stringify(reddish));
  assert.ok(reddish.right < image.width - 8 && reddish.bottom < image.height - 8);
});

Deno.test("drawPictureGrid() breaks a title before the parenthesis, so two lines stand below", () => {
  const heights = [];
  for (const title of ["fruits", "green-leafy-vegetables (true: other-vegetables)"]) {
    const image = drawPictureGrid([tile(160, [0, 0, 0], title)], {
      columns: 1,
      heading: "",
    });
    heights.push(image.height);
  }
  assert.equal(heights[1] - heights[0], 19);
});

Deno.test("drawPictureGrid() enlarges tiny pictures by whole factors and reduces huge ones", () => {
  const blue = [0, 0, 255];
  for (const [side, shown] of [[32, 160], [1, 144], [160, 160], [1000, 400]]) {
    const image = drawPictureGrid([tile(side, blue, "")], { columns: 3, heading: "" });
    const box = boxOf(image, same(blue));
    assert.equal(box.right - box.left + 1, shown);
    assert.equal(box.count, shown * shown);
  }
});

Deno.test("drawPictureGrid() draws titles with markup, quotes and other scripts", () => {
  const title = '<b> & "q" Ελ\u0000';
  const image = drawPictureGrid([tile(160, [255, 255, 255], title)], {
    columns: 1,
    heading: "",
  });
  assert.ok(boxOf(image, ([r]) => r < 100).count > 100);
});

Deno.test("drawPictureGrid() refuses no pictures and bytes of another size", () => {
  const options = { columns: 1, heading: "" };
  assert.throws(() => drawPictureGrid([], options), RangeError);
  const broken = { ...tile(4, [0, 0, 0], ""), width: 5 };
  assert.throws(() => drawPictureGrid([broken], options), /5×4 has 60 bytes of RGB, but 48 came/);
});

Deno.test("drawPictureGrid() keeps line breaks of titles, and widens columns for them as far as it may", () => {
  const blue = [10, 20, 250];
  const tiles = [tile(160, blue, "85% green-leafy-vegetables\n15% fruits"), tile(160, blue, "a")];
  const heightOf = (roomForTitles?: number) => {
    const options = { columns: 1, heading: "", ...(roomForTitles ? { roomForTitles } : {}) };
    const { width, height } = drawPictureGrid(tiles, options);
    return { width, height };
  };
  const narrow = heightOf();
  assert.equal(narrow.width, 160 + 32);
  const wide = heightOf(260);
  assert.ok(wide.width > 200 && wide.width < 260 + 32, `width ${wide.width}`);
  assert.equal(wide.height, narrow.height, "two lines of title either way");
  assert.equal((heightOf(170)).width, 170 + 32);
  const image = drawPictureGrid(tiles, { columns: 1, heading: "", roomForTitles: 260 });
  const { left, right } = boxOf(image, same(blue));
  assert.equal(left, image.width - 1 - right, "in the middle of the column");
});
