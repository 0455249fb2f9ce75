/**
 * The classes of mixed training images as text.
 *
 * @module
 */

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
