/**
 * An evaluation in words and tables, for a terminal.
 *
 * @module
 */
import type { EvaluationRecord } from "./evaluation_file.ts";
import { formatLoss } from "./lines.ts";
import { type Column, fitTable, shorten } from "./table.ts";
import { printable } from "./terminal_stream.ts";

/** Widest name in a table, in characters. */
const NAME_WIDTH = 28;
/** Narrowest column of the confusion matrix. */
const LEAST_CELL = 4;
/** Classes up to which the matrix is printed where lines may be long. */
const MOST_CLASSES = 30;
/** Confusions that are listed where the matrix doesn't fit. */
const MOST_CONFUSIONS = 10;

/** A share as a percentage with one digit; `–` when it isn't known. */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)}%` : "–";
}

/**
 * All of an evaluation.
 *
 * @param width Characters per line; `Infinity` where lines may be long
 */
export function evaluationLines(record: EvaluationRecord, width: number): string[] {
  const { model, data, skipped, count } = record;
  const epoch = model.epoch === undefined ? "" : `, epoch ${model.epoch}`;
  const part = data.split === "val" ? "validation" : "training";
  const left = skipped.length > 0 ? `, ${skipped.length} skipped` : "";
  return [
    `${printable(model.checkpoint)} (${model.name}${epoch})`,
    `${count} ${part} pictures of ${printable(data.root)}${left}`,
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
      `accuracy ${score(accuracy)}`,
      ...(top5 === undefined ? [] : [`top-5 ${score(top5)}`]),
      `ECE ${score(calibration.ece)}`,
    ].join("  "),
  ];
}

function classTable({ perClass, macro, weighted }: EvaluationRecord, width: number): string[] {
  const columns: Column[] = [
    { title: "class", givesWay: 1, leastWidth: 6 },
    { title: "precision", align: "right" },
    { title: "recall", align: "right" },
    { title: "F1", align: "right" },
    { title: "pictures", align: "right", givesWay: 2 },
  ];
  const row = (name: string, scores: typeof macro, support: string) => [
    shorten(printable(name), NAME_WIDTH),
    score(scores.precision),
    score(scores.recall),
    score(scores.f1),
    support,
  ];
  const total = perClass.reduce((sum, { support }) => sum + support, 0);
  const rows = [
    ...perClass.map((scores) => row(scores.class, scores, String(scores.support))),
    row("mean", macro, String(total)),
    row("weighted mean", weighted, String(total)),
  ];
  return fitTable(columns, rows, width).lines;
}

/** The matrix where it fits, else the most frequent confusions. */
function confusionLines(record: EvaluationRecord, width: number): string[] {
  const { classes, confusionMatrix } = record;
  const names = classes.map(printable);
  const first = Math.min(NAME_WIDTH, Math.max(...names.map(({ length }) => length), 4));
  const digits = Math.max(...confusionMatrix.flat().map((count) => String(count).length));
  const room = Number.isFinite(width)
    ? Math.floor((width - first) / classes.length) - 2
    : classes.length > MOST_CLASSES
    ? 0
    : NAME_WIDTH;
  if (room < Math.max(LEAST_CELL, digits)) return confusions(record);
  const columns: Column[] = [
    { title: "true" },
    ...names.map((name) => ({ title: shorten(name, room), align: "right" as const })),
  ];
  const rows = confusionMatrix.map((row, label) => [
    shorten(names[label], NAME_WIDTH),
    ...row.map((count) => count === 0 ? "·" : String(count)),
  ]);
  return ["Taken for:", ...fitTable(columns, rows, Infinity).lines];
}

function confusions({ classes, confusionMatrix }: EvaluationRecord): string[] {
  const found = confusionMatrix.flatMap((row, label) => {
    const support = row.reduce((sum, count) => sum + count, 0);
    return row.flatMap((count, predicted) =>
      count > 0 && predicted !== label ? [{ count, support, label, predicted }] : []
    );
  }).sort((a, b) => b.count - a.count || b.count / b.support - a.count / a.support);
  if (found.length === 0) return ["No class is taken for another one"];
  const lines = found.slice(0, MOST_CONFUSIONS).map(({ count, support, label, predicted }) =>
    `  ${printable(classes[label])} → ${printable(classes[predicted])}: ${count} of ${support} ` +
    `(${percent(count / support)})`
  );
  return ["Most frequent confusions:", ...lines];
}

function score(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : "–";
}
