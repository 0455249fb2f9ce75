/**
 * Colours for numbers: from dark blue over green to yellow, lighter with every step, so that the order is seen by
 * the colour-blind and in grey too (the idea of matplotlib's viridis: van der Walt and Smith 2015).
 *
 * @module
 */

/** Red, green and blue at equal distances from 0 to 1. */
const STOPS: readonly (readonly [number, number, number])[] = [
  [68, 1, 84],
  [70, 50, 127],
  [54, 92, 141],
  [39, 127, 142],
  [31, 161, 135],
  [74, 194, 109],
  [160, 218, 57],
  [253, 231, 37],
];

/** Returns the colour of a number from 0 to 1; numbers outside get the nearest end's, and NaN the lower end's. */
export function colourOf(value: number): [red: number, green: number, blue: number] {
  const place = Math.min(1, Math.max(0, value || 0)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  const share = place - low;
  const mix = (channel: number) =>
    Math.round(STOPS[low][channel] + share * (STOPS[low + 1][channel] - STOPS[low][channel]));
  return [mix(0), mix(1), mix(2)];
}
