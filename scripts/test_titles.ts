/**
 * Commands such as `deno task test FILE --filter "…"` in the docs, and the titles of the tests that they run.
 *
 * @module
 */
import type { Located } from "./markdown.ts";

/** A command that runs tests. */
export interface TestCommand {
  readonly file: string;
  /** Part of the titles; all tests of the file unless given. */
  readonly filter?: string;
  /** Line of the page. */
  readonly line: number;
}

/** Finds the commands that run tests of one file among the pieces of code of a page. */
export function testCommandsIn(code: readonly Located[]): TestCommand[] {
  return code.flatMap(({ text, line }) => {
    const [, file, filter] = /^deno task test (\S+_test\.ts)(?: --filter "([^"]+)")?$/.exec(text) ??
      [];
    if (file === undefined) return [];
    return [{ file, ...(filter === undefined ? {} : { filter }), line }];
  });
}

/**
 * Finds the titles of tests in a file's text. Of a title that is a template, only the parts that stand there.
 *
 * @returns The parts of each title
 */
export function titlesIn(text: string): string[][] {
  const titles =
    /(?:Deno\.test|\b[a-z]\w*Test)\(\s*(?:\{\s*name:\s*)?(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)/g;
  return [...text.matchAll(titles)].map(([, double, single, template]) => {
    const literal = double ?? single;
    if (literal !== undefined) return [literal.replaceAll(/\\(.)/g, "$1")];
    return template.replaceAll(/\\(.)/g, "$1").split(/\$\{[^}]*\}/);
  });
}
