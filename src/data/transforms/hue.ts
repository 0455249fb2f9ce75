/**
 * Turning the hue, by way of 8-bit HSV as Pillow converts to and from it: what is rounded on the way, and
 * whether in 32 or 64 bits, decides pixels, and so follows Pillow.
 *
 * @module
 */
import type { RgbImage } from "../codecs/rgb_image.ts";

const { fround } = Math;

/**
 * Moves all hues around the colour circle.
 *
 * @param turn Part of the circle, −0.5 … 0.5; also 0 changes pixels, since 8-bit HSV holds fewer colours
 */
export function adjustHue(image: RgbImage, turn: number): RgbImage {
  const shift = Math.trunc(turn * 255);
  const { data: source } = image;
  const data = new Uint8Array(source.length);
  for (let at = 0; at < source.length; at += 3) {
    const red = source[at]!, green = source[at + 1]!, blue = source[at + 2]!;
    const value = Math.max(red, green, blue);
    const chroma = value - Math.min(red, green, blue);
    const saturation = chroma === 0 ? 0 : Math.trunc(fround(chroma / value) * 255);
    if (saturation === 0) {
      data.fill(value, at, at + 3);
    } else {
      const hue = (hueOf(red, green, blue, value, chroma) + shift) & 255;
      writeRgb(data, at, hue, saturation, value);
    }
  }
  return { ...image, data };
}

/** 0 … 255 around the circle, from red by way of green and blue. */
function hueOf(red: number, green: number, blue: number, value: number, chroma: number): number {
  const lackOfRed = fround((value - red) / chroma);
  const lackOfGreen = fround((value - green) / chroma);
  const lackOfBlue = fround((value - blue) / chroma);
  let sixths: number;
  if (red === value) sixths = fround(lackOfBlue - lackOfGreen);
  else if (green === value) sixths = fround(2 + lackOfRed - lackOfBlue);
  else sixths = fround(4 + lackOfGreen - lackOfRed);
  return Math.trunc(fround((sixths / 6 + 1) % 1) * 255);
}

function writeRgb(
  data: Uint8Array,
  at: number,
  hue: number,
  saturation: number,
  value: number,
): void {
  const sixths = hue * 6 / 255;
  const sector = Math.floor(sixths);
  const rest = fround(sixths - sector);
  const share = fround(saturation / 255);
  const least = Math.round(value * (1 - share));
  const falling = Math.round(value * (1 - fround(share * rest)));
  const rising = Math.round(value * (1 - share * (1 - rest)));
  switch (sector % 6) {
    case 0:
      return put(data, at, value, rising, least);
    case 1:
      return put(data, at, falling, value, least);
    case 2:
      return put(data, at, least, value, rising);
    case 3:
      return put(data, at, least, falling, value);
    case 4:
      return put(data, at, rising, least, value);
    case 5:
      return put(data, at, value, least, falling);
  }
}

function put(data: Uint8Array, at: number, red: number, green: number, blue: number): void {
  data[at] = red;
  data[at + 1] = green;
  data[at + 2] = blue;
}
