/**
 * The words of the terminal: epoch lines, bars and amounts, each fitted to a width.
 *
 * @module
 */
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

/** Seconds for people: `4.2 s`, `42 s`, `3 min 05 s`, `1 h 02 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** An estimate of the time left, without tenths: `ETA 7 s`. */
export function formatTimeLeft(seconds: number): string {
  return `ETA ${seconds < 10 ? `${Math.ceil(seconds)} s` : formatDuration(seconds)}`;
}

/** Bytes for people, in powers of 1000: `512 B`, `6.0 MB`, `270 MB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A loss with five significant digits at most, so that columns keep their width. */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return String(loss);
  const size = Math.abs(loss);
  if (size >= 1e5) return loss.toExponential(2);
  return loss.toFixed(size < 10 ? 4 : size < 100 ? 3 : size < 1000 ? 2 : 1);
}

/** Images per second, such as `32.1 img/s`. */
export function formatRate(imagesPerSecond: number): string {
  return `${imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0)} img/s`;
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
  const accuracy = (value: number) => Number.isFinite(value) ? value.toFixed(3) : String(value);
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
  const end = best ? ["best"] : [];
  const forms = [
    [...long, ...own, formatRate(record.imagesPerSecond), time, ...end],
    [...long, formatRate(record.imagesPerSecond), time, ...end],
    [...long, time, ...end],
    [...long, ...end],
    [...short, ...end],
    [head, short[2], ...end],
  ].map((parts) => parts.join("  "));
  return forms.find((form) => form.length <= width) ?? shorten(forms[forms.length - 1], width);
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
  if (state.total <= 0) return shorten([state.label, ...state.details].join("  "), width);
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
  return shorten(`${state.label} ${percent}`, width);
}

/** `text`, or its beginning and an ellipsis when it is longer than `width`. */
export function shorten(text: string, width: number): string {
  if (text.length <= width) return text;
  return width < 1 ? "" : text.slice(0, width - 1).trimEnd() + "…";
}

/**
 * The classes of a training image: its own, or both of a mixed one with their shares, the greater one first.
 *
 * @param mixed The class of the image mixed into it, and the share (0 … 1) of its own
 */
export function mixedLines(
  own: string,
  mixed?: { readonly class: string; readonly share: number },
): string[] {
  if (!mixed) return [own];
  const percent = Math.round(100 * mixed.share);
  const lines = [`${percent}% ${own}`, `${100 - percent}% ${mixed.class}`];
  return percent >= 50 ? lines : lines.reverse();
}
