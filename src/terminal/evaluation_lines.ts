/**
 * An evaluation in words and tables, for a terminal.
 *
 * @module
 */
import {
  type ConfusionCounts,
  confusionOf,
  denseConfusion,
  worstConfusions,
} from "../metrics/confusion.ts";
import { visible } from "../base/visible_text.ts";
import { EVALUATION_FILE, type EvaluationRecord } from "../records/evaluation_file.ts";
import { formatLoss, formatPercent, formatScore, truncateMiddle } from "../base/format.ts";
import { type Column, fitTable } from "./table.ts";

/** Widest name in a table, in characters. */
const NAME_WIDTH = 28;
/** Narrowest column of the confusion matrix. */
const MIN_CELL = 4;
/** Classes up to which each has a row of its own; of more, those that are recognized worst. */
const MAX_CLASS_ROWS = 100;
/** Rows of the table where there are more classes. */
const WORST_CLASS_ROWS = 30;
/** Classes up to which the matrix is printed where lines may be long. */
const MAX_CLASSES = 30;
/** Classes up to which the matrix is printed at all. */
const MAX_MATRIX_CLASSES = 60;
/** Confusions that are listed where the matrix doesn't fit. */
const MAX_CONFUSIONS = 10;

/**
 * Returns the lines of a whole evaluation.
 *
 * @param width Characters per line; `Infinity` where lines may be long
 */
export function evaluationLines(record: EvaluationRecord, width: number): string[] {
  const { model, data, skipped, count } = record;
  const epoch = model.epoch === undefined ? "" : `, epoch ${model.epoch}`;
  const part = data.split === "val" ? "validation" : "training";
  const left = skipped.length > 0 ? `, ${skipped.length} skipped` : "";
  return [
    `${visible(model.checkpoint)} (${model.name}${epoch})`,
    `${count} ${part} images of ${visible(data.root)}${left}`,
    "",
    ...measureLines(record),
    "",
    ...classTable(record, width),
    "",
    ...confusionLines(record, width),
  ];
}

function measureLines({ loss, accuracy, top5, calibration }: EvaluationRecord): string[] {
  return [
    [
      `loss ${formatLoss(loss)}`,
      `accuracy ${formatScore(accuracy)}`,
      ...(top5 === undefined ? [] : [`top-5 ${formatScore(top5)}`]),
      `ECE ${formatScore(calibration.ece)}`,
    ].join("  "),
  ];
}

function classTable({ perClass, macro, weighted }: EvaluationRecord, width: number): string[] {
  const columns: Column[] = [
    { title: "class", givesWay: 1, leastWidth: 6 },
    { title: "precision", align: "right" },
    { title: "recall", align: "right" },
    { title: "F1", align: "right" },
    { title: "images", align: "right", givesWay: 2 },
  ];
  const row = (name: string, scores: typeof macro, support: string) => [
    truncateMiddle(visible(name), NAME_WIDTH),
    formatScore(scores.precision),
    formatScore(scores.recall),
    formatScore(scores.f1),
    support,
  ];
  const total = perClass.reduce((sum, { support }) => sum + support, 0);
  const shown = perClass.length <= MAX_CLASS_ROWS ? perClass : worstClasses(perClass);
  const rows = [
    ...shown.map((scores) => row(scores.class, scores, String(scores.support))),
    row("mean", macro, String(total)),
    row("weighted mean", weighted, String(total)),
  ];
  const { lines } = fitTable(columns, rows, width);
  if (shown === perClass) return lines;
  const note = `The ${shown.length} classes with the lowest F1 of ${perClass.length}: ` +
    `${EVALUATION_FILE} has all`;
  return [note, "", ...lines];
}

/** The classes with the lowest F1; those without images last. */
function worstClasses(perClass: EvaluationRecord["perClass"]): EvaluationRecord["perClass"] {
  const place = (f1: number) => Number.isFinite(f1) ? f1 : Infinity;
  return perClass.toSorted((a, b) =>
    place(a.f1) < place(b.f1) ? -1 : place(a.f1) > place(b.f1) ? 1 : 0
  )
    .slice(0, WORST_CLASS_ROWS);
}

/** The matrix where it fits, else the most frequent confusions. */
function confusionLines(record: EvaluationRecord, width: number): string[] {
  const { classes } = record;
  const confusion = confusionOf(record, classes.length);
  if (!confusion) return [];
  if (classes.length > MAX_MATRIX_CLASSES) return confusions(classes, confusion);
  const confusionMatrix = denseConfusion(confusion);
  const names = classes.map(visible);
  const first = Math.min(NAME_WIDTH, Math.max(...names.map(({ length }) => length), 4));
  const digits = Math.max(...confusionMatrix.flat().map((count) => String(count).length));
  const room = Number.isFinite(width)
    ? Math.floor((width - first) / classes.length) - 2
    : classes.length > MAX_CLASSES
    ? 0
    : NAME_WIDTH;
  if (room < Math.max(MIN_CELL, digits)) return confusions(classes, confusion);
  const columns: Column[] = [
    { title: "true" },
    ...names.map((name) => ({ title: truncateMiddle(name, room), align: "right" as const })),
  ];
  const rows = confusionMatrix.map((row, label) => [
    truncateMiddle(names[label], NAME_WIDTH),
    ...row.map((count) => count === 0 ? "·" : String(count)),
  ]);
  return ["Taken for:", ...fitTable(columns, rows, Infinity).lines];
}

function confusions(classes: readonly string[], confusion: ConfusionCounts): string[] {
  const { pairs } = worstConfusions(confusion, MAX_CONFUSIONS);
  if (pairs.length === 0) return ["No class is taken for another one"];
  const lines = pairs.map(({ label, predicted, count, share }) =>
    `  ${visible(classes[label])} → ${visible(classes[predicted])}: ${count} of ` +
    `${Math.round(count / share)} (${formatPercent(share)})`
  );
  return ["Most frequent confusions:", ...lines];
}
