/**
 * The result of a data set's check, in words and tables, for a terminal.
 *
 * @module
 */
import type { DataCheckRecord } from "./record.ts";
import { counted, formatPercent, formatScore, truncateMiddle } from "../base/format.ts";
import { type Column, fitTable, wrapText } from "../terminal/table.ts";
import { styled, type TerminalStream } from "../terminal/terminal_stream.ts";
import { visible, visiblePath } from "../base/visible_text.ts";

/** Examples of a kind. */
const MAX_EXAMPLES = 3;
/** Files that one example names. */
const MAX_FILES = 3;
/** Rows of the table of classes: where there are more, the largest and the smallest are shown. */
const MAX_CLASSES = 40;
/** Widest name in the table. */
const NAME_WIDTH = 40;
/** Longest line where lines may be long. */
const WRAP = 120;

type Severity = DataCheckRecord["findings"][number]["severity"];

const COLOURS = { error: "red", warning: "yellow", note: "dim" } as const;

/**
 * All of a check: kinds, examples with their cures, classes.
 *
 * @param stream Decides about colours
 * @param width Characters per line; `Infinity` where lines may be long
 */
export function dataCheckLines(
  record: DataCheckRecord,
  stream: TerminalStream,
  width: number,
): string[] {
  return [
    headLine(record),
    "",
    ...(record.kinds.length === 0 ? ["Nothing found"] : kindTable(record, stream, width)),
    ...record.kinds.filter(({ severity }) => severity !== "note")
      .flatMap((kind) => ["", ...examples(record, kind, stream, width)]),
    "",
    ...classTable(record, width),
    "",
    verdict(record, stream),
  ];
}

function headLine({ data, pictures, sides, classes, seconds }: DataCheckRecord): string {
  const { train, val, unusable } = pictures;
  const amount = sides.includes("all")
    ? `${train} images`
    : `${train + val} images (train ${train}, val ${val})`;
  const bad = unusable > 0 ? `, ${unusable} of them unusable` : "";
  return `${visible(data)}: ${amount} of ${counted(classes.length, "class", "classes")}${bad}; ` +
    `checked in ${seconds.toFixed(1)} s`;
}

function kindTable(record: DataCheckRecord, stream: TerminalStream, width: number): string[] {
  const columns: Column[] = [
    { title: "" },
    { title: "found" },
    { title: "count", align: "right" },
    { title: "for example", givesWay: 1, leastWidth: 12 },
  ];
  const rows = record.kinds.map(({ kind, severity, title, count }) => [
    severity,
    title,
    String(count),
    exampleOf(record, kind),
  ]);
  const room = Number.isFinite(width) ? width : WRAP;
  const [head, ...lines] = fitTable(columns, rows, room).lines;
  return [
    head,
    ...lines.map((line, index) => {
      const { severity } = record.kinds[index];
      return styled(stream, COLOURS[severity], severity) + line.slice(severity.length);
    }),
  ];
}

function exampleOf({ findings }: DataCheckRecord, kind: string): string {
  const first = findings.find((finding) => finding.kind === kind);
  return first?.files[0] === undefined ? "" : visiblePath(first.files[0]);
}

function examples(
  { findings }: DataCheckRecord,
  { kind, severity, title, count, cure }: DataCheckRecord["kinds"][number],
  stream: TerminalStream,
  width: number,
): string[] {
  const some = findings.filter((finding) => finding.kind === kind).slice(0, MAX_EXAMPLES);
  const more = count - some.length;
  return [
    `${label(stream, severity)} ${title} (${amount(findings, kind, count)})`,
    ...some.map((finding) => `  ${describe(finding)}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...wrapText(`→ ${cure}`, Math.min(width, WRAP) - 4).map((line, index) =>
      index === 0 ? `  ${line}` : `    ${line}`
    ),
  ];
}

/** Of exact copies: how many images, and how many files there are more than needed. */
function amount(findings: DataCheckRecord["findings"], kind: string, count: number): string {
  const copied = findings.filter((one) => one.kind === kind && one.kind.startsWith("copy"));
  if (copied.length === 0) return String(count);
  const extra = copied.reduce((sum, { files }) => sum + files.length - 1, 0);
  return `${count}; ${counted(extra, "file")} too many`;
}

function label(stream: TerminalStream, severity: Severity): string {
  return styled(stream, COLOURS[severity], `${severity}:`);
}

function describe({ files, detail }: DataCheckRecord["findings"][number]): string {
  const names = files.slice(0, MAX_FILES).map(visiblePath).join(" = ");
  const rest = files.length > MAX_FILES ? ` = … (${files.length} in all)` : "";
  return [names + rest, visible(detail)].filter((part) => part !== "").join(": ");
}

function classTable(record: DataCheckRecord, width: number): string[] {
  const { classes, sides, balance, pictures } = record;
  if (classes.length === 0) return ["No classes"];
  const single = sides.includes("all");
  const columns: Column[] = [
    { title: "class", givesWay: 1, leastWidth: 8 },
    { title: single ? "images" : "train", align: "right" },
    ...(single ? [] : [{ title: "val", align: "right" as const }]),
    { title: "share", align: "right" },
    { title: "unusable", align: "right", givesWay: 2 },
  ];
  const all = pictures.train + pictures.val;
  const row = (name: string, counts: { train: number; val: number; unusable: number }) => [
    name,
    String(counts.train),
    ...(single ? [] : [String(counts.val)]),
    formatPercent((counts.train + counts.val) / all),
    String(counts.unusable),
  ];
  const sorted = [...classes].sort((a, b) => b.train - a.train);
  const half = Math.floor(MAX_CLASSES / 2);
  const named = (some: typeof classes) =>
    some.map((one) => row(truncateMiddle(visiblePath(one.name), NAME_WIDTH), one));
  const between = `… ${classes.length - 2 * half} more`;
  const rows = classes.length <= MAX_CLASSES ? named(classes) : [
    ...named(sorted.slice(0, half)),
    [between, ...columns.slice(1).map(() => "")],
    ...named(sorted.slice(-half)),
  ];
  const { ratio, evenness } = balance;
  const measures = [
    ...(ratio === null ? [] : [`largest to smallest ${ratio.toFixed(1)} : 1`]),
    ...(evenness === null ? [] : [`evenness ${formatScore(evenness)}`]),
  ];
  return [
    ...fitTable(columns, [...rows, row("all", pictures)], width).lines,
    ...(measures.length > 0 ? [measures.join(", ")] : []),
  ];
}

function verdict({ counts, complete }: DataCheckRecord, stream: TerminalStream): string {
  const parts = (["error", "warning", "note"] as const).map((severity) => {
    const count = counts[severity];
    const text = counted(count, severity);
    return count > 0 && severity !== "note" ? styled(stream, COLOURS[severity], text) : text;
  });
  return parts.join(", ") + (complete ? "" : " (not all near-duplicates are listed)");
}
