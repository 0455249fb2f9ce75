/**
 * The reports of a comparison at work: the run that goes on, and that run's own reports.
 *
 * @module
 */
import { type Reporter, silentReporter } from "../events/reporter.ts";
import { terminalReporter } from "../terminal/terminal_reporter.ts";
import {
  printable,
  standardStream,
  styled,
  type TerminalStream,
} from "../terminal/terminal_stream.ts";

/** One run among those of a comparison. */
export interface RunPlace {
  /** Of the variant, for people. */
  readonly label: string;
  /** Of its config. */
  readonly seed: number;
  /** Counted from 1. */
  readonly number: number;
  /** Runs of the comparison. */
  readonly of: number;
  /** True if several seeds are compared. */
  readonly repeated: boolean;
}

/** The listener of a comparison. */
export interface CompareReporter {
  /** A line of news. */
  info(line: string): void;
  /** Something that a person should look at; the comparison goes on. */
  warn(line: string): void;
  /** A run begins or goes on; what it tells goes to the reporter that is returned, until that is closed. */
  run(place: RunPlace): Reporter;
}

/** A listener that says nothing: the default of the API. */
export function silentCompareReporter(): CompareReporter {
  return { info: () => {}, warn: () => {}, run: () => silentReporter() };
}

/** Options of {@linkcode terminalCompareReporter}. */
export interface TerminalCompareOptions {
  /** Show all that the runs and their workers say. */
  verbose: boolean;
  /** True if several runs go on at the same time: they print plain lines and no live bar. */
  parallel: boolean;
  /** The stream for news and progress; standard output unless given. */
  stream?: TerminalStream;
  /** The stream for warnings; standard error unless given. */
  errorStream?: TerminalStream;
}

/** The name of a run, such as `[2/6] Scratch, seed 1`. */
export function runLabel({ label, seed, number, of, repeated }: RunPlace): string {
  return `[${number}/${of}] ${label}${repeated ? `, seed ${seed}` : ""}`;
}

/**
 * For people: each line of a run begins with the run's name.
 *
 * @example
 * ```ts
 * import { resumeComparison, terminalCompareReporter } from "@lockstep/lockstep";
 *
 * const reporter = terminalCompareReporter({ verbose: false, parallel: false });
 * await resumeComparison("runs/latest-compare", { reporter });
 * ```
 */
export function terminalCompareReporter(options: TerminalCompareOptions): CompareReporter {
  const { verbose, parallel } = options;
  const stream = options.stream ?? standardStream("stdout");
  const errorStream = options.errorStream ?? standardStream("stderr");
  const runStream: TerminalStream = parallel
    ? { isTerminal: false, columns: stream.columns, write: (text) => stream.write(text) }
    : stream;
  return {
    info: (line) => stream.write(printable(line) + "\n"),
    warn: (line) =>
      errorStream.write(`${styled(errorStream, "yellow", "Warning:")} ${printable(line)}\n`),
    run: (place) => {
      const label = runLabel(place);
      const reporter = terminalReporter({ verbose, label, stream: runStream, errorStream });
      return verbose ? reporter : withoutDetails(reporter);
    },
  };
}

/** Without what each run says at its start and end: the comparison has its own words for that. */
function withoutDetails(reporter: Reporter): Reporter {
  const nothing = () => {};
  return new Proxy(reporter, {
    get: (target, name) => {
      if (name === "info" || name === "summary") return nothing;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
