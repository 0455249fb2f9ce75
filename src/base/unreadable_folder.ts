/**
 * The reason why a folder of images can't be read, in a sentence.
 *
 * @module
 */
import { reasonOf } from "./errors.ts";
import { describeSystemError } from "./system_errors.ts";

/** Says what keeps a folder from being read, and what to do about that. */
export function describeUnreadableFolder(quotedPath: string, error: unknown): string {
  if (error instanceof Deno.errors.NotADirectory) {
    return `${quotedPath} is no folder: name a folder of images`;
  }
  const { code, cure } = describeSystemError(error) ?? {};
  const isRight = code === undefined || code === "EACCES" || code === "EPERM";
  return `Folder ${quotedPath} can't be read: ${reasonOf(error)}; ${
    isRight ? "mend its access rights" : cure
  }`;
}
