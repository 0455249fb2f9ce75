/**
 * The form of a refusal: an error of Lockstep's, with one sentence that names what is refused.
 *
 * @module
 */
import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";

/** Errors of JavaScript that mean a slip of the program, wherever they come from. */
const SLIPS = [TypeError, ReferenceError, SyntaxError, RangeError];
/** Messages of the JavaScript engine about slips: they must not be passed on as reasons either. */
const SLIP_WORDS =
  /Cannot (read|set|convert|mix)|is not (a function|iterable|defined|a constructor)|undefined|\[object |Maximum call stack|Invalid (typed array|array) length|allocation failed|offset is outside|out of bounds|NaN\b/;
/** Most characters of a message, however long the input. */
const MAX_MESSAGE = 8_000;

/** The options of {@linkcode checkRefusal}. */
export interface RefusalOptions {
  /** A text that the message must have: the file, the key. */
  readonly naming?: string;
  /** Kinds of slips that are meant as the cause, such as a `RangeError` of a `DataView` where a file is cut off. */
  readonly causes?: readonly (new (...args: never[]) => Error)[];
  /** Words of the engine that the input itself may have put there. */
  readonly mayQuote?: boolean;
  /** Most characters of the message. */
  readonly maxLength?: number;
}

/** Checks a reason that a message will end with. */
export function checkReason(reason: string): void {
  assert.ok(reason.length > 0 && reason.length <= MAX_MESSAGE, reason);
  assert.doesNotMatch(reason, /\.$/);
  assert.doesNotMatch(reason, SLIP_WORDS);
}

/** Checks an error that a reader throws. */
export function checkRefusal(error: unknown, options: RefusalOptions = {}): void {
  if (error instanceof assert.AssertionError) throw error;
  if (!(error instanceof LockstepError)) {
    throw new Error(`No error of Lockstep's: ${error instanceof Error ? error.stack : error}`);
  }
  const { message } = error;
  const { naming, causes = [], mayQuote = false, maxLength = MAX_MESSAGE } = options;
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    const kind = SLIPS.find((each) => cause instanceof each);
    if (kind && !causes.includes(kind)) throw new Error(`A slip is the cause: ${cause.stack}`);
  }
  assert.ok(message.length <= maxLength, `a message of ${message.length} characters`);
  const isSentence = /^[A-Z/-]|^\S+\.yaml\b|^[a-z]+\.[a-z]/i.test(message) ||
    (naming !== undefined && message.startsWith(naming));
  assert.ok(isSentence, `no sentence: ${message}`);
  if (!mayQuote) assert.doesNotMatch(message, /\.$/, `a period at the end: ${message}`);
  if (naming !== undefined) {
    assert.ok(message.includes(naming), `it doesn't name ${naming}: ${message}`);
  }
  if (!mayQuote) assert.doesNotMatch(message, SLIP_WORDS);
}
