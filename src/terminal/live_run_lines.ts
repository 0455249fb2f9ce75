/**
 * Runs that go on, as lines of text.
 *
 * @module
 */
import { shownPath } from "../base/file_path.ts";
import { counted, formatDuration, formatRate } from "../base/format.ts";
import { listed } from "../base/listing.ts";
import { KIND_TITLES, type LiveKind } from "../records/live_runs.ts";
import { wrapText } from "./table.ts";

/** A worker of a run to describe. */
export interface DescribedWorker {
  readonly rank?: number | undefined;
  readonly pid?: number | undefined;
  /** Such as `CPU` or `GPU 0, NVIDIA L4`. */
  readonly device?: string | undefined;
  readonly host?: string | undefined;
}

/** A run to describe. */
export interface DescribedRun {
  /** The word by which `stop` finds it. */
  readonly id: string;
  readonly kind: LiveKind;
  readonly name: string;
  readonly folder?: string | undefined;
  readonly pid: number;
  readonly user: string;
  /** ISO 8601; missing where the register says nothing. */
  readonly since?: string | undefined;
  readonly state: string;
  /** Position, such as `epoch 2 of 3, step 10 of 50`. */
  readonly progress?: string | undefined;
  readonly imagesPerSecond?: number | undefined;
  readonly workers: readonly DescribedWorker[];
  readonly hosts?:
    | readonly {
      readonly name: string;
      readonly address?: string | undefined;
      readonly workers?: number | undefined;
    }[]
    | undefined;
  readonly dashboard?: string | undefined;
  /** Of a host agent: the server of the run that it has joined. */
  readonly server?: string | undefined;
  /** Id of the comparison that it is part of. */
  readonly partOf?: string | undefined;
  /** The command that stops it; missing where it can't be stopped from here. */
  readonly stop?: string | undefined;
  /** The reason why it can't be stopped from here, or something else that a person should know. */
  readonly note?: string | undefined;
}

/** Columns of the labels, and of a terminal that has room for them. */
const LABEL = 12;
const MIN_LABELLED = 48;
const MAX_WORKERS = 16;
const MAX_HOSTS = 16;

/** Describes a run in some lines: a title, and the facts below. */
export function liveRunLines(run: DescribedRun, width: number, now = Date.now()): string[] {
  const title = `${run.id}: ${KIND_TITLES[run.kind]}${
    run.name === "" || run.name === run.id ? "" : ` "${run.name}"`
  }, ${run.state}${ageOf(run.since, now)}`;
  const facts: [label: string, text: string | undefined][] = [
    ["process", `${run.pid} of ${run.user}`],
    ["progress", progressOf(run)],
    ["folder", run.folder === undefined ? undefined : shownPath(run.folder)],
    ["part of", run.partOf],
    ["joined", run.server],
    ["workers", workersOf(run)],
    ["hosts", hostsOf(run)],
    ["dashboard", run.dashboard],
    ["stop", run.stop],
    ["note", run.note],
  ];
  return [
    ...wrapText(title, width),
    ...facts.flatMap(([label, text]) => text === undefined ? [] : factLines(label, text, width)),
  ];
}

function factLines(label: string, text: string, width: number): string[] {
  const isNarrow = width < MIN_LABELLED;
  const indent = isNarrow ? "    " : " ".repeat(LABEL + 2);
  const lines = wrapText(text, Math.max(1, width - indent.length)).map((line) => indent + line);
  if (isNarrow) return [`  ${label}`, ...lines];
  const [first = "", ...others] = lines;
  return [`  ${label.padEnd(LABEL)}${first.slice(indent.length)}`, ...others];
}

function ageOf(since: string | undefined, now: number): string {
  const seconds = (now - Date.parse(since ?? "")) / 1000;
  return Number.isFinite(seconds) ? ` for ${formatDuration(Math.max(0, seconds))}` : "";
}

function progressOf({ progress, imagesPerSecond }: DescribedRun): string | undefined {
  const parts = [
    ...(progress === undefined ? [] : [progress]),
    ...(imagesPerSecond === undefined ? [] : [formatRate(imagesPerSecond)]),
  ];
  return parts.length === 0 ? undefined : parts.join(", ");
}

function workersOf({ workers }: DescribedRun): string | undefined {
  if (workers.length === 0) return undefined;
  const texts = workers.map(({ rank, pid, device, host }) =>
    [
      ...(rank === undefined ? [] : [`rank ${rank}`]),
      ...(pid === undefined ? [] : [`process ${pid}`]),
      ...(device === undefined ? [] : [`on ${device}`]),
      ...(host === undefined ? [] : [`of host ${host}`]),
    ].join(" ")
  );
  return `${workers.length}: ${listed(texts, { max: MAX_WORKERS, separator: "; " })}`;
}

function hostsOf({ hosts }: DescribedRun): string | undefined {
  if (!hosts || hosts.length === 0) return undefined;
  const texts = hosts.map(({ name, address, workers }) =>
    name + (address === undefined ? "" : ` at ${address}`) +
    (workers === undefined ? "" : ` (${counted(workers, "worker")})`)
  );
  return listed(texts, { max: MAX_HOSTS });
}
