/**
 * The config keys that name files and folders: which they are, and where relative paths in a YAML file count from.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import {
  absolutePath,
  isAddress,
  isRelativeFileUrl,
  PATH_MARK,
  type PathMark,
} from "../base/file_path.ts";
import { UsageError } from "../base/errors.ts";
import { SCHEME } from "../base/user_module.ts";
import { childNodes, rootNodes, type SchemaNode } from "./schema_paths.ts";
import { isTree, type Tree } from "./tree.ts";

/** A path that stands in a tree of values. */
interface PlacedPath {
  /** Dotted, such as `data.root`. */
  readonly key: string;
  readonly text: string;
  readonly replace: (text: string) => void;
}

/**
 * Makes the relative paths of a tree absolute, from a folder. Everything else stays for the schema to judge: words that
 * are no paths, such as `pretrained`, and what begins with `~` or is a URL.
 */
export function placePaths(tree: Tree, folder: string): void {
  for (const { text, replace } of relativePaths(tree)) {
    try {
      replace(absolutePath(text, folder));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error; // the schema says the same, with the key
    }
  }
}

/** The relative paths in a tree, in its order. */
export function* relativePaths(tree: Tree): Generator<PlacedPath> {
  yield* pathsIn(tree, rootNodes(), []);
}

function* pathsIn(
  holder: Tree | unknown[],
  nodes: readonly SchemaNode[],
  path: readonly string[],
): Generator<PlacedPath> {
  for (const [name, value] of Object.entries(holder as Tree)) {
    const below = childNodes(nodes, name);
    const here = [...path, name];
    if (isTree(value) || Array.isArray(value)) yield* pathsIn(value, below, here);
    else if (typeof value === "string" && below.some((node) => isRelative(value, node))) {
      const replace = (text: string) => (holder as Tree)[name] = text;
      yield { key: here.join("."), text: value, replace };
    }
  }
}

/** Tells whether a value of a key is a path that counts from somewhere. */
function isRelative(text: string, { [PATH_MARK]: mark }: SchemaNode): boolean {
  if (mark === undefined || text === "" || /^~|\0/.test(text) || isAbsolute(text)) return false;
  const { names, urls } = mark as PathMark;
  if (isRelativeFileUrl(text)) return true;
  return !names.includes(text) && !isAddress(text) && !(urls && SCHEME.test(text));
}
