/**
 * Makes the pictures of README.md and docs/ from real runs, in docs/img. Charts are those of the default recipe on
 * photos of foods. Where pictures themselves are to be seen they are drawn here, since the photos aren't ours to
 * publish: a network learns to tell circles, squares and triangles, and is asked about new ones.
 *
 * Usage: deno task make:pictures [--keep FOLDER]. Takes some minutes; needs Chromium.
 *
 * @module
 */
import { basename, join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { parseArgs } from "@std/cli/parse-args";
import type { Page } from "playwright-core";
import { randomStream } from "../src/base/random.ts";
import { browserPath, type PageOptions, withPage } from "../tests/support/browser.ts";
import { startChild, succeeds } from "./children.ts";
import { PROJECT_ROOT } from "./files.ts";

const IMAGES = join(PROJECT_ROOT, "docs/img");
const flags = parseArgs(Deno.args, { string: ["keep"] });

/** Device pixels per CSS pixel of screenshots. */
const SCALE = 2;

/** Runs a task of deno.json to its end. */
async function task(...args: string[]): Promise<void> {
  console.log(`deno task ${args.join(" ")}`);
  const success = await succeeds(Deno.execPath(), {
    args: ["task", "--quiet", ...args],
    cwd: PROJECT_ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  });
  if (!success) throw new Error(`deno task ${args.join(" ")} failed`);
}

/** A screenshot of what a page shows. */
async function shoot(
  name: string,
  options: PageOptions,
  open: (page: Page) => Promise<void>,
): Promise<void> {
  await withPage({ scale: SCALE, ...options }, async (page) => {
    await open(page);
    await page.screenshot({ path: join(IMAGES, `${name}.png`) });
  });
}

/** Copies a picture that a command has made. */
async function keep(from: string, name = basename(from)): Promise<void> {
  await Deno.copyFile(from, join(IMAGES, name));
}

/** Shows a run's dashboard, served by `deno task dashboard`, until `use` is done. */
async function withDashboard(runs: string, use: (address: string) => Promise<void>) {
  const server = startChild(Deno.execPath(), {
    args: ["task", "--quiet", "dashboard", "--runs", runs],
    cwd: PROJECT_ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  });
  try {
    let text = "";
    for await (const part of server.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      const address = /http:\/\/\S+/.exec(text)?.[0];
      if (address) return await use(address);
    }
    throw new Error(`The dashboard printed no address: ${text}`);
  } finally {
    server.kill("SIGINT");
    await server.status;
  }
}

const SHAPES = {
  circle: () => `<circle r="40"/>`,
  square: () => `<rect x="-36" y="-36" width="72" height="72"/>`,
  triangle: () => `<path d="M0 -46L42 32H-42Z"/>`,
} as const;

/** A shape of any colour, size and place in front of other things, 220 × 180 pixels. */
function drawShape(shape: string, seed: number): Uint8Array {
  const random = randomStream("shapes", shape, seed);
  const between = (least: number, most: number) => least + (most - least) * random();
  const colour = (lightness: number) => {
    const [hue, saturation, light] = [between(0, 360), between(40, 90), lightness].map(Math.round);
    return `hsl(${hue}, ${saturation}%, ${light}%)`;
  };
  const lines = Array.from(
    { length: 14 },
    () =>
      `<path d="M${between(0, 220)} ${between(0, 180)}L${between(0, 220)} ${between(0, 180)}" ` +
      `stroke="${colour(between(60, 85))}" stroke-width="${between(1, 9)}"/>`,
  );
  const place = `translate(${between(70, 150)} ${between(60, 120)}) rotate(${between(0, 360)}) ` +
    `scale(${between(0.6, 1.2)})`;
  return new Resvg(
    `<svg xmlns="http://www.w3.org/2000/svg" width="220" height="180">
      <rect width="220" height="180" fill="${colour(between(70, 92))}"/>${lines.join("")}
      <g transform="${place}" fill="${colour(between(25, 50))}">${shape}</g>
    </svg>`,
  ).render().asPng();
}

/** A data set of shapes. */
async function drawShapes(root: string): Promise<void> {
  for (const [part, count] of [["train", 40], ["val", 16]] as const) {
    for (const [name, shape] of Object.entries(SHAPES)) {
      const folder = join(root, part, name);
      await Deno.mkdir(folder, { recursive: true });
      for (let index = 0; index < count; index++) {
        const seed = index + (part === "val" ? 1000 : 0);
        await Deno.writeFile(join(folder, `${index}.png`), drawShape(shape(), seed));
      }
    }
  }
}

/** Charts: what the default recipe leaves, and its comparison with training from scratch. */
async function makeCharts(out: string): Promise<void> {
  await task("train", "--workers", "2", "--out", out);
  const run = await Deno.realPath(join(out, "latest"));
  await keep(join(run, "curves.png"));
  await task("evaluate", "--run", run);
  for (const name of ["confusion.png", "reliability.png"]) {
    await keep(join(run, "evaluation", name));
  }
  await shoot("report", { width: 1280, height: 760 }, async (page) => {
    await page.goto(`file://${run}/report.html`);
    await page.waitForTimeout(500);
  });
  await task("compare", "--workers", "2", "--out", out);
  await keep(join(await Deno.realPath(join(out, "latest-compare")), "comparison.png"));
  await withDashboard(out, async (address) => {
    await shoot("dashboard", { width: 1280, height: 860, colorScheme: "dark" }, async (page) => {
      await page.goto(`${address}runs/${basename(run)}`);
      await page.waitForTimeout(1500);
    });
  });
}

/** Pictures: what augmentation does, where a network looks, and the page that it is exported to. */
async function makePictures(out: string): Promise<void> {
  const root = join(out, "shapes");
  await drawShapes(root);
  const settings = ["name=shapes", "data.dataset=null", `data.root=${root}`, "train.epochs=8"];
  const set = settings.flatMap((setting) => ["--set", setting]);
  const shown = ["--compare-epochs", "4", "--count", "3"];
  await task("show-batch", ...set, ...shown, "--out", join(IMAGES, "augmentation.png"));
  await task(
    "train",
    "--workers",
    "2",
    ...set,
    "--set",
    "model.featureExtract=false",
    "--out",
    out,
  );
  const run = await Deno.realPath(join(out, "latest"));
  await task("evaluate", "--run", run);
  const maps = join(out, "maps");
  const asked = Object.keys(SHAPES).map((name) => join(root, "val", name, "3.png"));
  await task("predict", "--run", run, ...asked, "--explain", maps);
  const [map] = (await Array.fromAsync(Deno.readDir(maps))).map(({ name }) => name).sort()
    .reverse();
  await keep(join(maps, map), "grad_cam.png");
  await task("export", "--run", run, "--format", "tfjs");
  await shoot("demo", { width: 860, height: 800, allowErrors: true }, async (page) => {
    await page.goto(`file://${run}/export/demo/index.html`);
    await page.evaluate("lockstepDemo.ready");
    await page.setInputFiles("#file", asked[2]);
    await page.waitForSelector("#result:not([hidden])");
  });
}

if (!browserPath()) throw new Error("There is no chromium on PATH");
const out = flags.keep
  ? String(flags.keep)
  : await Deno.makeTempDir({ prefix: "lockstep-pictures-" });
try {
  await makePictures(out);
  await makeCharts(out);
} finally {
  if (!flags.keep) await Deno.remove(out, { recursive: true });
}
