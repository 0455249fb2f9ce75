/**
 * The little of Markdown that the doc check needs: links, anchors and code, each with its line.
 *
 * @module
 */

/** A piece of text and the line (from 1) that it starts on. */
export interface Located {
  readonly text: string;
  readonly line: number;
}

/** The links, the link targets and the code of a Markdown page. */
export interface Page {
  /** Targets of links and images, as written. */
  readonly links: readonly Located[];
  /** Names that `#name` finds on the page. */
  readonly anchors: ReadonlySet<string>;
  /** Inline code, and the lines of code blocks with continued lines joined. */
  readonly code: readonly Located[];
}

const FENCE = /^\s*(`{3,}|~{3,})/;
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/;
const INLINE_LINK = /\]\(\s*(?:<([^>]+)>|([^)\s]+))(?:\s+"[^"]*")?\s*\)/g;
const REFERENCE = /^\s*\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/;
const HTML_LINK = /<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)="([^"]+)"/g;
const HTML_ANCHOR = /<[a-z]\w*\b[^>]*?\b(?:id|name)="([^"]+)"/g;
const CODE_SPAN = /(`+)(.+?)\1(?!`)/g;

/** Reads a page. */
export function parseMarkdown(text: string): Page {
  const links: Located[] = [];
  const anchors = new Set<string>();
  const code: Located[] = [];
  let fence: string | undefined;
  let continued: Located | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = index + 1;
    const marker = FENCE.exec(raw)?.[1];
    if (fence !== undefined) {
      if (marker?.startsWith(fence)) {
        fence = undefined;
        continue;
      }
      const whole: Located = { text: (continued?.text ?? "") + raw, line: continued?.line ?? line };
      continued = whole.text.endsWith("\\")
        ? { ...whole, text: whole.text.slice(0, -1) }
        : undefined;
      if (!continued) code.push(whole);
      continue;
    }
    if (marker) {
      fence = marker;
      continue;
    }
    const heading = HEADING.exec(raw)?.[1];
    if (heading !== undefined) addHeading(anchors, heading);
    for (const [, , span] of raw.matchAll(CODE_SPAN)) code.push({ text: span, line });
    const prose = raw.replace(CODE_SPAN, "");
    for (const [, name] of prose.matchAll(HTML_ANCHOR)) anchors.add(name);
    for (const [, pointed, plain] of prose.matchAll(INLINE_LINK)) {
      links.push({ text: pointed ?? plain, line });
    }
    for (const [, target] of prose.matchAll(HTML_LINK)) links.push({ text: target, line });
    const reference = REFERENCE.exec(prose)?.[1];
    if (reference) links.push({ text: reference, line });
  }
  return { links, anchors, code };
}

/** Adds the name that GitHub gives a heading; a repeated one gets `-1`, `-2`, … */
function addHeading(anchors: Set<string>, heading: string): void {
  const name = heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_\- ]/gu, "")
    .replaceAll(" ", "-");
  let unique = name;
  for (let repeat = 1; anchors.has(unique); repeat++) unique = `${name}-${repeat}`;
  anchors.add(unique);
}
