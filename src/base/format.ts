/**
 * Formats numbers, times, amounts and names for display.
 *
 * @module
 */

/** Seconds for people: `4.2 s`, `42 s`, `3 min 05 s`, `1 h 02 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${two(rounded % 60)} s`;
  const minutes = Math.round(rounded / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** An estimate of the remaining time, without tenths: `ETA 7 s`. */
export function formatTimeLeft(seconds: number): string {
  return `ETA ${seconds < 10 ? `${Math.ceil(seconds)} s` : formatDuration(seconds)}`;
}

/** Milliseconds with the digits that are significant; a dash for a missing value. */
export function formatMilliseconds(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
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

/** Bytes in units of 2²⁰, as package registries and `ls -h` show files: `12.3 MiB`. */
export function formatMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A loss with five significant digits at most, so that columns keep their width. */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return String(loss);
  const size = Math.abs(loss);
  if (size >= 1e5) return loss.toExponential(2);
  return loss.toFixed(size < 10 ? 4 : size < 100 ? 3 : size < 1000 ? 2 : 1);
}

/**
 * A score of 0 … 1, such as an accuracy, with three decimals.
 *
 * @param missing Text for a NaN or infinite score
 */
export function formatScore(score: number, missing = "–"): string {
  return Number.isFinite(score) ? score.toFixed(3) : missing;
}

/** A fraction of 0 … 1 as a percentage with one decimal; a dash for a missing value. */
export function formatPercent(share: number | undefined | null): string {
  return typeof share === "number" && Number.isFinite(share) ? `${(100 * share).toFixed(1)}%` : "–";
}

/** Images per second, such as `32.1 img/s`. */
export function formatRate(imagesPerSecond: number): string {
  return `${imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0)} img/s`;
}

/** A whole number with commas between its thousands: `21,000`. */
export function groupThousands(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** A number and its noun: `1 epoch`, `2 epochs`, `3 classes`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}

/** Returns an amount of memory in the units of memory: `1.9 GiB`, `73.5 MiB`. */
export function formatMemory(bytes: number): string {
  return bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : `${(bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0)} MiB`;
}

/** As {@linkcode counted}, with commas between thousands: `1,200 images`. */
export function groupedCount(count: number, noun: string, plural = `${noun}s`): string {
  return `${groupThousands(count)} ${count === 1 ? noun : plural}`;
}

/** `text`, or its beginning and an ellipsis when it has more than `width` characters. */
export function truncate(text: string, width: number): string {
  if (text.length <= width) return text;
  return width < 1 ? "" : text.slice(0, width - 1).trimEnd() + "…";
}

/**
 * `text`, or both its ends when it has more than `width` characters: the middle of a file name is the least
 * informative.
 */
export function truncateMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const end = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - end)}…${end > 0 ? text.slice(-end) : ""}`;
}
