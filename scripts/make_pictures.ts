/**
 * Makes the pictures of README.md and docs/ from real runs, in docs/img: a run of the default recipe, a comparison,
 * an evaluation, predictions, an export, and the pages in a real browser.
 *
 * Usage: deno task make:pictures [--keep FOLDER]. Takes some minutes; needs Chromium.
 *
 * @module
 */
import { basename, join } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import type { Page } from "playwright-core";
import { browserPath, type PageOptions, withPage } from "../tests/support/browser.ts";
import { PROJECT_ROOT } from "./files.ts";

const IMAGES = join(PROJECT_ROOT, "docs/img");
const flags = parseArgs(Deno.args, { string: ["keep"] });

/** Device pixels per CSS pixel of screenshots. */
const SCALE = 2;

/** Runs a task of deno.json to its end. */
async function task(...args: string[]): Promise<void> {
  console.log(`deno task ${args.join(" ")}`);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", ...args],
    cwd: PROJECT_ROOT,
    stdin: "null",
  }).output();
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
  const server = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "dashboard", "--runs", runs],
    cwd: PROJECT_ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
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

/** The pictures that a model is asked about: two of each class. */
async function somePictures(validation: string): Promise<string[]> {
  const lines = (await Deno.readTextFile(validation)).trim().split("\n").slice(1);
  const byClass = Map.groupBy(lines.map((line) => line.split(",")), ([, label]) => label);
  return [...byClass.values()].flatMap((rows) => rows.slice(0, 2).map(([path]) => path));
}

async function make(out: string): Promise<void> {
  await task("train", "--workers", "2", "--out", out);
  const run = await Deno.realPath(join(out, "latest"));
  for (const name of ["curves.png", "batch.png", "predictions.png"]) await keep(join(run, name));
  await task(
    "show-batch",
    "--compare-epochs",
    "4",
    "--count",
    "3",
    "--out",
    join(IMAGES, "augmentation.png"),
  );

  await task("evaluate", "--run", run);
  for (const name of ["confusion.png", "reliability.png", "mistakes.png"]) {
    await keep(join(run, "evaluation", name));
  }
  const maps = join(out, "maps");
  const pictures = await somePictures(join(run, "predictions.csv"));
  await task(
    "predict",
    "--run",
    run,
    ...pictures,
    "--grid",
    join(IMAGES, "grid.png"),
    "--explain",
    maps,
  );
  const [map] = (await Array.fromAsync(Deno.readDir(maps))).map(({ name }) => name).sort();
  await keep(join(maps, map), "grad_cam.png");

  await shoot("report", { width: 1280, height: 760 }, async (page) => {
    await page.goto(`file://${run}/report.html`);
    await page.waitForTimeout(500);
  });
  await task("compare", "--workers", "2", "--out", out);
  await keep(join(await Deno.realPath(join(out, "latest-compare")), "comparison.png"));
  await withDashboard(out, async (address) => {
    await shoot("dashboard", { width: 1280, height: 860, colorScheme: "dark" }, async (page) => {
      await page.goto(`${address}run/${basename(run)}`);
      await page.waitForTimeout(1500);
    });
  });
  await task("export", "--run", run, "--format", "tfjs");
  await shoot("demo", { width: 860, height: 700, allowErrors: true }, async (page) => {
    await page.goto(`file://${run}/export/demo/index.html`);
    await page.locator("input[type=file]").setInputFiles(pictures[0]);
    await page.waitForTimeout(8000);
  });
}

if (!browserPath()) throw new Error("There is no chromium on PATH");
const out = flags.keep
  ? String(flags.keep)
  : await Deno.makeTempDir({ prefix: "lockstep-pictures-" });
try {
  await make(out);
} finally {
  if (!flags.keep) await Deno.remove(out, { recursive: true });
}
