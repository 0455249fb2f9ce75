/**
 * Checks a data set: its folders, each of its images, and all of them against each other.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { join } from "node:path";
import { holdsCifar10, scanCifar10 } from "../data/datasets/cifar10.ts";
import type { ImageSet } from "../data/datasets/image_set.ts";
import { DEFAULT_MAX_PIXELS, type RgbImage } from "../data/codecs/rgb_image.ts";
import { CheckerPool } from "./checker_pool.ts";
import type { Thumbnail } from "./checker.ts";
import { balanceOf, type ClassCounts, findImbalance } from "./class_balance.ts";
import { type CheckedImage, findCopies, findNearCopies, groupCopies } from "./copies.ts";
import { type ImageFacts, inspectPixels } from "./inspect_image.ts";
import { judgeImage } from "./judge_image.ts";
import { type Finding, KIND_NAMES, KINDS, SEVERITIES } from "./kinds.ts";
import type { DataCheckFacts } from "./record.ts";
import { type Survey, type SurveyedImage, surveyFolder } from "./survey.ts";

/** The options of a check. */
export interface CheckOptions {
  /** As the user named it, for the report. */
  readonly data: string;
  /** A folder. */
  readonly root: string;
  readonly trainFolder: string;
  readonly valFolder: string;
  /** Bits of 64 that hashes of near-duplicates may differ in. */
  readonly nearDistance: number;
  readonly maxPixels?: number;
  /** Decoding processes (default: one per core). */
  readonly processes?: number;
  readonly signal?: AbortSignal;
  /** Called once the images are counted. */
  readonly onStart?: (total: number) => void;
  /** Called as images are done. */
  readonly onProgress?: (done: number) => void;
}

/** Two images that a person should look at. */
export interface ShownPair {
  readonly finding: Finding;
  readonly images: readonly [RgbImage, RgbImage];
}

/** The result of a check. */
export interface DataCheck {
  readonly facts: DataCheckFacts;
  /** The pairs that look most like the same image where it matters. */
  readonly pairs: readonly ShownPair[];
}

/** Bits of 64 that may differ, unless given. */
export const DEFAULT_NEAR_DISTANCE = 6;

/** Near-duplicates that are listed. */
const MAX_LISTED = 10_000;
/** Pairs that are shown, and the most pixels on their longer side: sharp at twice the size they are drawn in. */
const PAIRS_SHOWN = 16;
const SHOWN_SIDE = 400;

/** @throws {UsageError} when the data can't be read at all, or no image can be decoded on this machine */
export async function checkData(options: CheckOptions): Promise<DataCheck> {
  const start = performance.now();
  const cifar = await holdsCifar10(options.root);
  await using gallery = cifar ? await cifarGallery(options) : await fileGallery(options);
  const { survey } = gallery;
  options.onStart?.(survey.images.length);
  const facts = await gallery.inspect();
  const images = survey.images.map((image, index) => ({ ...image, facts: facts[index] }));
  const groups = groupCopies(images);
  const near = findNearCopies(groups, options.nearDistance);
  const copies = findCopies(groups);
  const pairs = await gallery.show(mostTelling([...near.findings, ...copies]));
  const said = await gallery.end();
  const classes = countClasses(survey, images);
  const found = [
    ...survey.findings,
    ...images.flatMap(({ path, facts }, index) => judgeImage(path, facts, said.get(index))),
    ...copies,
    ...findImbalance(classes),
  ];
  const listed = [...found, ...mostImportant(near.findings)];
  const sum = (of: "train" | "val" | "unusable") =>
    classes.reduce((total, counts) => total + counts[of], 0);
  return {
    facts: {
      data: options.data,
      root: options.root,
      format: cifar ? "cifar10" : "imageFolder",
      sides: [...survey.sides],
      settings: {
        nearDistance: options.nearDistance,
        maxPixels: options.maxPixels ?? DEFAULT_MAX_PIXELS,
      },
      pictures: { train: sum("train"), val: sum("val"), unusable: sum("unusable") },
      seconds: Number(((performance.now() - start) / 1000).toFixed(3)),
      classes,
      balance: balanceOf(classes),
      ...summary([...found, ...near.findings]),
      findings: inOrder(listed).map((finding) => ({
        ...finding,
        files: [...finding.files],
        severity: KINDS[finding.kind].severity,
      })),
      complete: !near.more && near.findings.length <= MAX_LISTED,
    },
    pairs,
  };
}

/** The images of a set, however they lie on the disk. */
interface Gallery extends AsyncDisposable {
  readonly survey: Survey;
  inspect(): Promise<ImageFacts[]>;
  show(findings: readonly Finding[]): Promise<ShownPair[]>;
  /** Returns the lines that libraries printed about images, by the image's position. */
  end(): Promise<ReadonlyMap<number, string>>;
}

async function fileGallery(options: CheckOptions): Promise<Gallery> {
  const { root, maxPixels = DEFAULT_MAX_PIXELS, processes, signal, onProgress } = options;
  const survey = await surveyFolder(root, options);
  const pool = new CheckerPool({
    maxPixels,
    ...(processes === undefined ? {} : { processes }),
    ...(signal === undefined ? {} : { signal }),
  });
  const files = survey.images.map(({ path }) => join(root, path));
  return {
    survey,
    inspect: () => pool.inspect(files, (done) => onProgress?.(done)),
    async show(findings) {
      const paths = findings.flatMap(({ files: [a, b] }) => [join(root, a), join(root, b)]);
      const thumbnails = (await pool.thumbnails(paths, SHOWN_SIDE)).map(pixelsOf);
      return findings.flatMap((finding, index) => {
        const [a, b] = thumbnails.slice(2 * index);
        return a && b ? [{ finding, images: [a, b] as const }] : [];
      });
    },
    end: () => pool.end(),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

/** Records of CIFAR-10 need no decoder, so they are looked at here. */
async function cifarGallery({ root, signal, onProgress }: CheckOptions): Promise<Gallery> {
  const set = await scanCifar10(root);
  const images = (["train", "val"] as const).flatMap((side) =>
    set[side].map(({ path, label }): SurveyedImage => ({ path, label, side }))
  );
  const samples = [...set.train, ...set.val];
  const byPath = new Map(samples.map((sample) => [sample.path, sample]));
  return {
    survey: { sides: ["train", "val"], classes: set.classes, images, findings: [] },
    inspect: () => inspectRecords(set, samples, signal, onProgress),
    async show(findings) {
      const shown: ShownPair[] = [];
      for (const finding of findings) {
        const [a, b] = finding.files.map((path) => set.source.read(byPath.get(path)!));
        shown.push({ finding, images: [await a, await b] });
      }
      return shown;
    },
    end: () => Promise.resolve(new Map()),
    [Symbol.asyncDispose]: () => Promise.resolve(set.source[Symbol.dispose]()),
  };
}

/** Records between two pauses, in which signals and the terminal have their turn. */
const RECORDS_AT_ONCE = 100;

async function inspectRecords(
  { source }: ImageSet,
  samples: ImageSet["train"],
  signal?: AbortSignal,
  onProgress?: (done: number) => void,
): Promise<ImageFacts[]> {
  const facts: ImageFacts[] = [];
  for (const sample of samples) {
    facts.push(inspectPixels(await source.read(sample)));
    if (facts.length % RECORDS_AT_ONCE !== 0 && facts.length !== samples.length) continue;
    onProgress?.(facts.length);
    await setImmediate();
    signal?.throwIfAborted();
  }
  return facts;
}

function pixelsOf(thumbnail: Thumbnail | undefined): RgbImage | undefined {
  if (!thumbnail) return undefined;
  const { width, height, rgb } = thumbnail;
  return { width, height, data: new Uint8Array(Buffer.from(rgb, "base64")) };
}

function countClasses(survey: Survey, images: readonly CheckedImage[]): ClassCounts[] {
  const counts = survey.classes.map((name) => ({ name, train: 0, val: 0, unusable: 0 }));
  for (const { label, side, facts } of images) {
    counts[label][side === "val" ? "val" : "train"]++;
    if (facts.problem) counts[label].unusable++;
  }
  return counts;
}

/** By kind; those of a kind as they came. */
function inOrder(findings: readonly Finding[]): Finding[] {
  const order = orderOfKinds();
  return [...findings].sort((a, b) => order.get(a.kind)! - order.get(b.kind)!);
}

function orderOfKinds(): Map<string, number> {
  const sorted = SEVERITIES.flatMap((severity) =>
    KIND_NAMES.filter((kind) => KINDS[kind].severity === severity)
  );
  return new Map(sorted.map((kind, index) => [kind, index]));
}

/** Near-duplicates that are listed where there are too many: first those that cross sides, then classes. */
function mostImportant(findings: readonly Finding[]): Finding[] {
  return inOrder(findings).slice(0, MAX_LISTED);
}

/** Pairs to be shown: near-duplicates before copies, for copies need no look; each image once. */
function mostTelling(findings: readonly Finding[]): Finding[] {
  const isNear = ({ distance }: Finding) => distance !== undefined;
  const ordered = inOrder(findings).filter(({ kind }) => kind !== "copyInClass");
  const shown = new Set<string>();
  const chosen: Finding[] = [];
  for (const finding of [...ordered.filter(isNear), ...ordered.filter((one) => !isNear(one))]) {
    if (chosen.length === PAIRS_SHOWN) break;
    const files = finding.files.slice(0, 2);
    if (files.some((path) => shown.has(path))) continue;
    files.forEach((path) => shown.add(path));
    chosen.push(finding);
  }
  return chosen;
}

function summary(findings: readonly Finding[]): Pick<DataCheckFacts, "counts" | "kinds"> {
  const byKind = Map.groupBy(inOrder(findings), ({ kind }) => kind);
  const kinds = [...byKind].map(([kind, { length: count }]) => ({ kind, ...KINDS[kind], count }));
  const counts = { error: 0, warning: 0, note: 0 };
  for (const { severity, count } of kinds) counts[severity] += count;
  return { counts, kinds };
}
