/**
 * Lines about the ways between the hosts of a run.
 *
 * @module
 */
import { formatBytes } from "../base/format.ts";

/** The way from one host to another, as it was measured. */
export interface Way {
  /** Name of the host that connects, such as `Host 1 (gpu-b)`. */
  readonly from: string;
  /** Name of the host that it reaches. */
  readonly to: string;
  readonly url: string;
  readonly rttMs: number;
  readonly bytesPerSecond: number;
}

/** The most ways that have a line each. */
const MAX_LINES = 12;
/** A way is slow whose speed is less than this share of the median's. */
const SLOW_SHARE = 0.25;
/** Ways between two hosts. */
const MIN_WAYS = 2;
/** Bytes per second from which on a way is not called slow: 10 Gbit/s. */
const FAST = 1.25e9;

/** Returns a line for each way; of many, the slowest alone. */
export function reachLines(ways: readonly Way[]): string[] {
  const slowest = [...ways].sort((a, b) => a.bytesPerSecond - b.bytesPerSecond).slice(0, 1);
  const shown = ways.length > MAX_LINES ? slowest : ways;
  return shown.map((way) =>
    `${way.from} reaches ${lowered(way.to)} at ${placeOf(way)}: ${speedOf(way)}${
      shown === slowest ? `, the slowest of ${ways.length} ways between hosts` : ""
    }`
  );
}

/** Returns a warning for each way that is much slower than most: the sum of all gradients waits for it. */
export function slowWays(ways: readonly Way[]): string[] {
  const rates = ways.map(({ bytesPerSecond }) => bytesPerSecond).sort((a, b) => a - b);
  const median = rates[Math.floor(rates.length / 2)] ?? 0;
  if (ways.length <= MIN_WAYS) return []; // of two, none is most
  return ways.filter(({ bytesPerSecond: rate }) => rate < SLOW_SHARE * median && rate < FAST)
    .map((way) =>
      `${way.from} reaches ${lowered(way.to)} at ${placeOf(way)} with ${
        rateOf(way.bytesPerSecond)
      }, and most hosts each other with ${
        rateOf(median)
      } or more: every step waits for the slowest; name a faster interface by hosts.address or --address if there is one`
    );
}

function placeOf({ url }: Way): string {
  return url.replace(/^[a-z]+:\/\//, "");
}

function speedOf({ rttMs, bytesPerSecond }: Way): string {
  return `${rttMs.toFixed(rttMs < 10 ? 2 : 0)} ms, ${rateOf(bytesPerSecond)}`;
}

function rateOf(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** Returns a host's name within a sentence. */
export function lowered(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1);
}
