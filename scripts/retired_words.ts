/**
 * Words of an earlier private dialect, and the field's terms that stand in their place.
 *
 * One list for the lint plugin (`lint_words.ts`: source files) and for `check:docs` (Markdown, HTML, CSS).
 *
 * @module
 */

/** A word or phrase that is no longer used. */
export interface RetiredWord {
  /** Global expression that finds it. */
  readonly pattern: RegExp;
  /** The term to use. */
  readonly instead: string;
  /** A line that contains it, for the tests. */
  readonly example: string;
}

/** Files that may hold the words: the list itself, its tests, and texts about the past. */
const EXEMPT: readonly string[] = [
  "scripts/retired_words.ts",
  "tests/scripts/lint_words_test.ts",
  "CHANGELOG.md",
];

/** All retired words. */
export const RETIRED_WORDS: readonly RetiredWord[] = [
  word("crews?", "cluster", "The crew of a run"),
  identifier("Crew", "Cluster", "class CrewOptions {}"),
  word("Heart", "HeartbeatSender", "new Heart()"),
  word("SilenceWatch", "SilenceTimer", "new SilenceWatch()"),
  word("Liveness", "HeartbeatMonitor", "Liveness.open()"),
  word("Patience", "RetryTimer", "new Patience()"),
  word("TransferDesk", "BlobTransfers", "TransferDesk.open()"),
  word("CallbackDesk", "CallbackRunner", "new CallbackDesk()"),
  word("Slots", "Semaphore", "new Slots(2)"),
  word("Trainee", "TrainableReplica", "type A = Trainee"),
  word("signs? of life", "heartbeat", "without a sign of life"),
  word("(?:left|leaves?|leaving) the numbers", "is not finite", "the loss left the numbers"),
  word("exitWords", "describeExit", "exitWords(exit)"),
  word("tooLargeWords", "formatOverflow", "tooLargeWords(rank)"),
  word("madePictures|madeUpPictures", "syntheticBatches", "madePictures(64)"),
  word("made_up", "synthetic", 'import "./made_up.ts"'),
  word("tryOut|try_out", "dryRun, dry_run", "tryOut(replica)"),
  identifier("MOST_(?=[A-Z])", "MAX_", "const MOST_LINES = 3"),
  identifier("LEAST_(?=[A-Z])", "MIN_", "const LEAST_SIDE = 3"),
  identifier("LONGEST_(?=[A-Z])", "MAX_", "const LONGEST_LINE = 3"),
  word("[Tt]akes? down (?:its |the )?ops", "records ops", "It takes down ops"),
  declared("told", "a name for its content, such as lines", "const told = new Set()"),
  word(
    "hidden (?:arguments?|inputs?)|this\\.#hidden",
    "captured inputs",
    "the hidden inputs of a trace",
  ),
  word("handsOn|handedOn", "carried", "part.handsOn"),
  word("hand(?:s|ed|ing)? (?:it |them )?on", "pass on, carry", "It hands on its outputs"),
  word("[Tt]ak(?:e|es|ing) note", "record", "Takes note of a failure"),
  word("go(?:es)? its way", "goes on", "The run goes its way"),
  word("inWords", "describe…", "inWords(history)"),
  word("system_words", "system_errors", 'import "./system_words.ts"'),
];

/** A place in a text where a retired word stands. */
export interface RetiredUse {
  /** Position of the first character. */
  readonly start: number;
  /** Position after the last character. */
  readonly end: number;
  /** The cure, as a sentence. */
  readonly message: string;
}

/** Tells whether a file, relative to the project's root with `/` between names, may hold retired words. */
export function isExempt(file: string): boolean {
  return EXEMPT.includes(file);
}

/** Finds the retired words of a text, in their order. */
export function findRetiredWords(text: string): RetiredUse[] {
  return RETIRED_WORDS.flatMap(({ pattern, instead }) =>
    Array.from(text.matchAll(pattern), ({ 0: found, index }) => ({
      start: index,
      end: index + found.length,
      message: `"${found}" is retired: write "${instead}" (docs/glossary.md)`,
    }))
  ).sort((a, b) => a.start - b.start);
}

/** A whole word or phrase. */
function word(source: string, instead: string, example: string): RetiredWord {
  return { pattern: new RegExp(`\\b(?:${source})\\b`, "g"), instead, example };
}

/** The beginning of identifiers. */
function identifier(source: string, instead: string, example: string): RetiredWord {
  return { pattern: new RegExp(`\\b${source}\\w*`, "g"), instead, example };
}

/** A name that is declared or a private field: the word may stand in prose, in HTML and in the DOM's properties. */
function declared(name: string, instead: string, example: string): RetiredWord {
  const pattern = new RegExp(`(?:\\b(?:const|let|readonly|get) #?|#)${name}\\b`, "g");
  return { pattern, instead, example };
}
