/**
 * A data set with every kind of fault, out of real files.
 *
 * @module
 */
import { join } from "node:path";
import { makeScenes, put, scene, sceneJpeg } from "./scenes.ts";

const FIXTURES = new URL("../fixtures/data/", import.meta.url);

/** A name that would change a terminal's title, break the line and turn the text red. */
export const ODD_NAME = "a\x1b]0;owned\x07\n\x1b[31mred.jpg";

/** Kind of a finding → the files that it names, in the order of the report. */
export type Expected = Record<string, string[][]>;

/** Fills a folder; gives what a check has to find. */
export async function makeFaultyImages(root: string): Promise<Expected> {
  await makeScenes(root);
  const fixture = (name: string) => Deno.readFile(new URL(name, FIXTURES));
  const cat = (name: string, bytes: Uint8Array | string) => put(root, `train/cat/${name}`, bytes);

  await cat("empty.jpg", "");
  await cat("page.jpg", "<html>404 not found</html>");
  await cat("scan.tif", "II*\0 and more of a TIFF");
  await cat("cut.jpg", (await sceneJpeg(1)).slice(0, -200));
  await cat("cut.png", (await scene(2).encode()).slice(0, -100));
  await cat("cut.webp", (await fixture("pictures/lossy.webp")).slice(0, -100));
  await cat("bad.png", overwritten(await scene(3).encode(), 0.5));
  await cat("inside.jpg", overwritten(await fixture("jpegs/restarts.jpg"), 0.6));
  await cat("bomb.png", bomb(await fixture("pictures/rgb.png")));
  await cat("twelve_bits.jpg", twelveBits(await sceneJpeg(4)));
  await Deno.symlink(join(root, "nowhere.jpg"), join(root, "train/cat/lost.jpg"));
  await Deno.symlink(join(root, "train/cat"), join(root, "train/cat/loop"));
  await Deno.symlink("itself", join(root, "train/cat/itself"));
  await new Deno.Command("mkfifo", { args: [join(root, "train/cat/pipe.jpg")] }).output();

  await put(root, "train/dog/really_png.jpg", await scene(5).encode());
  await put(root, "train/dog/photo.jpg_large", await sceneJpeg(6));
  await put(root, "train/dog/notes.txt", "nothing to see");
  await put(root, "train/dog/.hidden.jpg", "");
  await put(root, "train/stray.jpg", await sceneJpeg(7));
  await put(root, `train/dog/${ODD_NAME}`, await sceneJpeg(8));
  await put(root, "train/dog/tiny.png", await scene(9, 40, 20).encode());
  await put(root, "train/dog/long.png", await scene(10, 400, 40).encode());
  await put(root, "train/dog/plain.png", await scene(11).fill(0x808080ff).encode());
  await put(root, "val/Dog /0.jpg", await sceneJpeg(12));
  await Deno.mkdir(join(root, "val/bird"), { recursive: true });

  const copy = await sceneJpeg(20), conflict = await sceneJpeg(21), twice = await sceneJpeg(22);
  await put(root, "train/cat/leak.jpg", copy);
  await put(root, "val/cat/leak.jpg", copy);
  await put(root, "train/cat/which.jpg", conflict);
  await put(root, "train/dog/which.jpg", conflict);
  await put(root, "train/dog/twice_a.jpg", twice);
  await put(root, "train/dog/twice_b.jpg", twice);
  await put(root, "train/cat/near.jpg", await sceneJpeg(23, 95));
  await put(root, "val/cat/near.jpg", await scene(23, 60, 45).encodeJPEG(40));
  await put(root, "train/dog/near.jpg", await sceneJpeg(24, 95));
  await put(root, "train/cat/near_dog.png", await scene(24).lightness(1.15).encode());

  return {
    classOnOneSide: [["val/Dog "], ["val/bird"]],
    emptyClass: [["val/bird"]],
    linkLoop: [["train/cat/itself"], ["train/cat/loop"]],
    unreadable: [["train/cat/pipe.jpg"], ["train/cat/lost.jpg"]],
    empty: [["train/cat/empty.jpg"]],
    notImage: [["train/cat/page.jpg"]],
    unsupported: [["train/cat/scan.tif"], ["train/cat/twelve_bits.jpg"]],
    damaged: ["bad.png", "cut.jpg", "cut.png", "cut.webp"].map((name) => [`train/cat/${name}`]),
    tooManyPixels: [["train/cat/bomb.png"]],
    copyAcrossSides: [["train/cat/leak.jpg", "val/cat/leak.jpg"]],
    copyAcrossClasses: [["train/cat/which.jpg", "train/dog/which.jpg"]],
    inside: [["train/cat/inside.jpg"]],
    nearAcrossSides: [["train/cat/near.jpg", "val/cat/near.jpg"]],
    nearAcrossClasses: [["train/cat/near_dog.png", "train/dog/near.jpg"]],
    copyInClass: [["train/dog/twice_a.jpg", "train/dog/twice_b.jpg"]],
    wrongEnding: [["train/dog/really_png.jpg"]],
    overlooked: [["train/dog/photo.jpg_large"]],
    stray: [["train/stray.jpg"]],
    similarNames: [["Dog ", "dog"]],
    oddName: [[`train/dog/${ODD_NAME}`]],
    tiny: [["train/dog/tiny.png"]],
    elongated: [["train/dog/long.png"]],
    // imagescript writes all PNGs with an alpha channel.
    alpha: ["cat/near_dog", "dog/long", "dog/plain", "dog/really_png", "dog/tiny"].map((name) => [
      `train/${name}.${name.endsWith("really_png") ? "jpg" : "png"}`,
    ]),
    plain: [["train/dog/plain.png"]],
    otherFile: [["train/dog/notes.txt"]],
  };
}

/** Twenty bytes lost. */
function overwritten(bytes: Uint8Array, share: number): Uint8Array {
  const broken = bytes.slice();
  const start = Math.floor(bytes.length * share);
  broken.fill(0, start, start + 20);
  return broken;
}

/** A PNG whose header promises 2 billion pixels on a side. */
function bomb(png: Uint8Array): Uint8Array {
  const view = new DataView(png.buffer);
  view.setUint32(16, 2 ** 31 - 1);
  view.setUint32(20, 2 ** 31 - 1);
  return png;
}

/** A JPEG whose header says 12 bits per channel. */
function twelveBits(jpeg: Uint8Array): Uint8Array {
  for (let at = 2; at < jpeg.length; at += 2 + jpeg[at + 2] * 256 + jpeg[at + 3]) {
    if (jpeg[at + 1] < 0xc0 || jpeg[at + 1] > 0xc2) continue;
    jpeg[at + 4] = 12;
    return jpeg;
  }
  throw new Error("No start of frame");
}
