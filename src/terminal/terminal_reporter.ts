/**
 * A reporter for people: a live bar on a terminal, plain lines in a pipe or a log file.
 *
 * @module
 */
import {
  formatBytes,
  formatDuration,
  formatLoss,
  formatRate,
  formatTimeLeft,
} from "../base/format.ts";
import { task } from "../base/invocation.ts";
import { shownPath } from "../base/file_path.ts";
import { shellWord } from "../base/shell.ts";
import { LiveBar } from "./live_bar.ts";
import { type BarState, epochLabel, epochLine } from "./lines.ts";
import type { DownloadEvent, Phase, PhaseProgress, Reporter, Summary } from "../events/reporter.ts";
import type { EpochRecord } from "../records/history.ts";
import {
  printable,
  printableOutput,
  standardStream,
  styled,
  type TerminalStream,
} from "./terminal_stream.ts";

/** Lines of a worker that are kept for the case that it fails. */
const KEPT_LINES = 20;
/** Least milliseconds between two plain progress lines. */
const PLAIN_INTERVAL_MS = 10_000;

/** Options of {@linkcode terminalReporter}. */
export interface TerminalReporterOptions {
  /** Show the workers' lines as they come. */
  verbose: boolean;
  /** The beginning of each line and bar, such as the name of one of several runs. */
  label?: string;
  /** The stream for news and progress; standard output unless given. */
  stream?: TerminalStream;
  /** The stream for warnings; standard error unless given. */
  errorStream?: TerminalStream;
  /** A clock in milliseconds, for tests. */
  now?: () => number;
}

/**
 * News and progress on standard output, warnings and the lines of failed workers on standard error.
 *
 * @example
 * ```ts
 * import { loadConfig, terminalReporter, train } from "@lockstep/lockstep";
 *
 * const reporter = terminalReporter({ verbose: false });
 * await train(await loadConfig("recipe.yaml"), { reporter });
 * ```
 */
export function terminalReporter(options: TerminalReporterOptions): Reporter {
  return new TerminalReporter(options);
}

class TerminalReporter implements Reporter {
  readonly #verbose: boolean;
  readonly #label: string;
  readonly #out: TerminalStream;
  readonly #error: TerminalStream;
  readonly #now: () => number;
  readonly #kept = new Map<number, string[]>();
  #bar: LiveBar | undefined;
  #phase: Phase | undefined;
  #progress: PhaseProgress = { done: 0 };
  #phaseStart = 0;
  #lastPlainLine = 0;
  #download: DownloadEvent | undefined;
  #downloadStart = 0;
  readonly #erase = () => this.#eraseBar();

  constructor({ verbose, label, stream, errorStream, now }: TerminalReporterOptions) {
    this.#verbose = verbose;
    this.#label = label === undefined ? "" : `${printable(label)}  `;
    this.#out = stream ?? standardStream("stdout");
    this.#error = errorStream ?? standardStream("stderr");
    this.#now = now ?? (() => performance.now());
    // A second Ctrl-C exits at once: the shell's prompt should not follow half a bar.
    globalThis.addEventListener("unload", this.#erase);
  }

  info(line: string): void {
    this.#print(this.#out, printable(line));
  }

  warn(line: string): void {
    this.#print(this.#error, `${styled(this.#error, "yellow", "Warning:")} ${printable(line)}`);
  }

  workerLine(rank: number, line: string): void {
    const text = printableOutput(line);
    if (this.#verbose) return this.#print(this.#out, this.#ranked(this.#out, rank, text));
    const kept = this.#kept.get(rank) ?? [];
    kept.push(text);
    if (kept.length > KEPT_LINES) kept.shift();
    this.#kept.set(rank, kept);
  }

  workerFailed(rank: number): void {
    const kept = this.#kept.get(rank);
    if (!kept) return;
    this.#kept.delete(rank);
    const lines = kept.map((line) => this.#ranked(this.#error, rank, line));
    this.#print(this.#error, [`Last lines of rank ${rank}:`, ...lines].join("\n"));
  }

  download(event: DownloadEvent): void {
    const { what, bytes } = event;
    if (this.#download && this.#download.what !== what) this.#endDownload();
    if (bytes === undefined) {
      this.#endDownload();
      this.info(event.note ? `${what}: ${event.note}` : what);
      return;
    }
    if (!this.#download) this.#beginDownload(event);
    this.#download = event;
    if (event.totalBytes) this.#bar?.setTotal(event.totalBytes);
    this.#bar?.update(bytes);
    if (event.totalBytes && bytes >= event.totalBytes) return this.#endDownload();
    if (!this.#out.isTerminal && this.#plainLineIsDue()) this.info(downloadLine(event));
  }

  phase(phase: Phase): void {
    this.#endLive();
    this.#phase = phase;
    this.#progress = { done: phase.done ?? 0 };
    this.#phaseStart = this.#lastPlainLine = this.#now();
    if (!this.#out.isTerminal) return;
    this.#bar = new LiveBar(
      this.#out,
      phase.total,
      this.#progress.done,
      (done, total, left) => this.#phaseState(phase, done, total, left),
    );
  }

  progress(progress: PhaseProgress): void {
    const phase = this.#phase;
    if (!phase) return;
    this.#progress = { ...this.#progress, ...progress };
    this.#bar?.update(progress.done);
    if (this.#out.isTerminal || !this.#plainLineIsDue()) return;
    const { label, details } = this.#phaseState(phase, progress.done, phase.total, undefined);
    const left = (phase.total - progress.done) / this.#rate();
    this.info([label.slice(this.#label.length), ...details, formatTimeLeft(left)].join("  "));
  }

  epochDone(record: EpochRecord, epochs: number, best: boolean): void {
    this.#endLive();
    const width = this.#out.isTerminal ? this.#out.columns - 1 - this.#label.length : Infinity;
    const line = epochLine(record, epochs, best, width);
    const head = epochLabel(record.epoch, epochs);
    const tail = best && line.endsWith("best") ? "best" : "";
    const middle = line.slice(head.length, line.length - tail.length);
    this.#print(
      this.#out,
      styled(this.#out, "bold", head) + middle + (tail && styled(this.#out, "green", tail)),
    );
  }

  summary(summary: Summary): void {
    this.#endLive();
    const { interrupted, bestEpoch, folder, report } = summary;
    const time = formatDuration(summary.seconds);
    const result = bestEpoch > 0
      ? `best validation accuracy ${
        styled(this.#out, "bold", summary.bestAccuracy.toFixed(3))
      } in epoch ${bestEpoch}`
      : "no epoch was finished";
    this.#print(this.#out, `${interrupted ? "Interrupted after" : "Done in"} ${time}: ${result}`);
    this.info(`Run folder: ${shownPath(folder)}`);
    if (report) this.info(`Report: ${shownPath(report)}`);
    if (interrupted) {
      this.info(`Go on with: ${task(`train --resume ${shellWord(shownPath(folder))}`)}`);
    }
  }

  close(): void {
    this.#endLive();
    globalThis.removeEventListener("unload", this.#erase);
  }

  #ranked(stream: TerminalStream, rank: number, text: string): string {
    const prefix = styled(stream, "dim", `[rank ${rank}]`);
    return text.split("\n").map((line) => `${prefix} ${line}`).join("\n");
  }

  #print(stream: TerminalStream, text: string): void {
    const label = this.#label && styled(stream, "dim", this.#label);
    const lines = label ? text.split("\n").map((line) => label + line).join("\n") : text;
    const print = () => stream.write(lines + "\n");
    if (this.#bar) this.#bar.above(print);
    else print();
  }

  #endLive(): void {
    this.#endDownload();
    this.#eraseBar();
    this.#phase = undefined;
  }

  #eraseBar(): void {
    this.#bar?.erase();
    this.#bar = undefined;
  }

  /** Returns the images per second: as reported, else since the phase began. */
  #rate(): number {
    const { done, imagesPerSecond } = this.#progress;
    if (imagesPerSecond !== undefined) return imagesPerSecond;
    const seconds = (this.#now() - this.#phaseStart) / 1000;
    return seconds > 0 ? (done - (this.#phase?.done ?? 0)) / seconds : 0;
  }

  #phaseState(phase: Phase, done: number, total: number, left: number | undefined): BarState {
    const { loss } = this.#progress;
    const details = [`${String(done).padStart(String(total).length)}/${total}`];
    const rate = this.#rate();
    if (rate > 0) details.push(formatRate(rate));
    if (left !== undefined && done < total) details.push(formatTimeLeft(left));
    if (loss !== undefined) details.push(`loss ${formatLoss(loss)}`);
    return {
      label: this.#label +
        (phase.name === "evaluate"
          ? phase.name
          : `${epochLabel(phase.epoch, phase.epochs)} ${phase.name}`),
      done,
      total,
      details,
    };
  }

  #beginDownload(event: DownloadEvent): void {
    this.#endLive();
    this.#downloadStart = this.#lastPlainLine = this.#now();
    if (!this.#out.isTerminal) return;
    this.#bar = new LiveBar(
      this.#out,
      event.totalBytes ?? 0,
      event.bytes ?? 0,
      (done, total, left) => {
        const details = [
          total > 0 ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done),
        ];
        const seconds = (this.#now() - this.#downloadStart) / 1000;
        if (seconds > 0.5) details.push(`${formatBytes(done / seconds)}/s`);
        if (left !== undefined && done < total) details.push(formatTimeLeft(left));
        return { label: this.#label + printable(event.what), done, total, details };
      },
    );
  }

  /** Leaves one line for a finished download. */
  #endDownload(): void {
    const event = this.#download;
    if (!event) return;
    this.#download = undefined;
    this.#eraseBar();
    const seconds = (this.#now() - this.#downloadStart) / 1000;
    this.info(`${event.what}: ${formatBytes(event.bytes ?? 0)} in ${formatDuration(seconds)}`);
  }

  #plainLineIsDue(): boolean {
    if (this.#now() - this.#lastPlainLine < PLAIN_INTERVAL_MS) return false;
    this.#lastPlainLine = this.#now();
    return true;
  }
}

function downloadLine({ what, bytes = 0, totalBytes }: DownloadEvent): string {
  return `${what}: ${formatBytes(bytes)}${totalBytes ? ` of ${formatBytes(totalBytes)}` : ""}`;
}
