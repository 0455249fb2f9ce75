/**
 * The words of the terminal: epoch lines, bars and amounts, each fitted to a width.
 *
 * @module
 */
import {
  counted,
  formatBytes,
  formatDuration,
  formatLoss,
  formatRate,
  formatScore,
  truncate,
} from "../base/format.ts";
import type { EpochRecord } from "../records/history.ts";

/** Narrowest and widest bar, in characters. */
const BAR_WIDTHS = { least: 6, most: 40 };

/** The state that a bar shows. */
export interface BarState {
  label: string;
  /** Done, in the same unit as `total`. */
  done: number;
  /** 0 when unknown: then there are only texts. */
  total: number;
  /** Texts after the bar, the least important last: they are dropped when the line is too narrow. */
  details: string[];
}

/**
 * The line that closes an epoch, in the fullest form that fits.
 *
 * @param width Most characters; `Infinity` where lines may be long
 */
export function epochLine(
  record: EpochRecord,
  epochs: number,
  best: boolean,
  width = Infinity,
): string {
  const { train, validation } = record;
  const head = epochLabel(record.epoch, epochs);
  const accuracy = (value: number) => formatScore(value, String(value));
  const long = [
    head,
    `train loss ${formatLoss(train.loss)} acc ${accuracy(train.accuracy)}`,
    `val loss ${formatLoss(validation.loss)} acc ${accuracy(validation.accuracy)}`,
  ];
  const own = Object.entries(record.metrics ?? {}).map(([name, value]) =>
    `${name} ${formatLoss(value)}`
  );
  const short = [
    head,
    `train ${formatLoss(train.loss)} / ${accuracy(train.accuracy)}`,
    `val ${formatLoss(validation.loss)} / ${accuracy(validation.accuracy)}`,
  ];
  const time = formatDuration(record.seconds);
  const { skippedSteps = 0, nonFiniteSteps = 0 } = record;
  const end = [
    ...(nonFiniteSteps > 0 ? [`${counted(nonFiniteSteps, "non-finite step")} skipped`] : []),
    ...(skippedSteps > 0 ? [`${counted(skippedSteps, "step")} skipped`] : []),
    ...(best ? ["best"] : []),
  ];
  const forms = [
    [...long, ...own, formatRate(record.imagesPerSecond), time, ...end],
    [...long, formatRate(record.imagesPerSecond), time, ...end],
    [...long, time, ...end],
    [...long, ...end],
    [...short, ...end],
    [head, short[2], ...end],
  ].map((parts) => parts.join("  "));
  return forms.find((form) => form.length <= width) ?? truncate(forms[forms.length - 1], width);
}

/** A validation before the first step or within an epoch. */
export interface ValidationNews {
  readonly epoch: number;
  /** Steps of the epoch that are done, of how many. */
  readonly step: number;
  readonly steps: number;
  /** Mean of the epoch so far; missing before the first step. */
  readonly trainLoss?: number;
  readonly loss: number;
  readonly accuracy: number;
  /** Since the validation before. */
  readonly secondsPerStep?: number;
}

/** The line of such a validation. */
export function validationLine(news: ValidationNews): string {
  const { epoch, step, steps, trainLoss, loss, accuracy, secondsPerStep } = news;
  return [
    trainLoss === undefined ? "before training" : `epoch ${epoch}, step ${step}/${steps}`,
    ...(trainLoss === undefined ? [] : [`train loss ${formatLoss(trainLoss)}`]),
    `val loss ${formatLoss(loss)} acc ${accuracy.toFixed(3)}`,
    ...(secondsPerStep === undefined ? [] : [`${secondsPerStep.toFixed(2)} s per step`]),
  ].join("  ");
}

/**
 * Says how many images' features workers keep.
 *
 * @param limit Bytes that each may keep
 */
export function featuresLine(
  { train, val, bytes }: { train: number; val: number; bytes: number },
  workers: number,
  limit: number,
): string {
  const who = workers === 1 ? "1 worker keeps" : `${workers} workers keep`;
  const [own, each] = workers === 1 ? ["", ""] : [" (each of those that it saw)", " each"];
  return `${who} the features of ${train} training and ${val} validation images${own}: ` +
    `${formatBytes(bytes)}, of at most ${formatBytes(limit)}${each}`;
}

/** `epoch  3/40`, the numbers right-aligned. */
export function epochLabel(epoch: number, epochs: number): string {
  const total = String(epochs);
  return `epoch ${String(epoch).padStart(total.length)}/${total}`;
}

/** One line with a bar that takes the room that the texts leave. */
export function barLine(state: BarState, width: number): string {
  if (state.total <= 0) return truncate([state.label, ...state.details].join("  "), width);
  const share = Math.min(1, Math.max(0, state.done / state.total));
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  for (let kept = state.details.length; kept >= 0; kept--) {
    const tail = [percent, ...state.details.slice(0, kept)].join("  ");
    const room = width - state.label.length - tail.length - 4;
    if (room < BAR_WIDTHS.least) continue;
    const size = Math.min(room, BAR_WIDTHS.most);
    const full = Math.round(share * size);
    return `${state.label}  ${"█".repeat(full)}${"░".repeat(size - full)}  ${tail}`;
  }
  return truncate(`${state.label} ${percent}`, width);
}
