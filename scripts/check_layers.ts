/**
 * Checks that imports follow the layers of docs/design.md: strictly downward, never sideways between
 * folders of one level, and never in a circle between files.
 *
 * Reads the module graph of `deno info --json`, so that static, type-only, dynamic and re-exporting
 * imports all count.
 *
 * @module
 */
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { fromFileUrl, PROJECT_ROOT, readText, sourceFiles } from "./files.ts";

/** `workers/` and the folders of `src/`, lowest level first; other entries (`mod.ts`) stand above them all. */
export const LEVELS: readonly (readonly string[])[] = [
  ["deps"],
  ["base"],
  ["engine", "gpus", "protocol", "provision", "web", "weights"],
  ["records"],
  ["models", "data", "optim", "exchange", "metrics", "loggers", "events"],
  ["hosts"],
  ["config", "checkpoint", "cluster"],
  ["train", "plots"],
  ["worker", "inference", "preview", "report", "dashboard", "terminal"],
  ["coordinator", "agent", "export", "data_check"],
  ["evaluation", "compare", "bench"],
  ["commands"],
  ["workers"],
  ["cli.ts"],
];

/** Folders inside of a folder, lowest level first; "." stands for the files that lie in it directly. */
export const INNER_LEVELS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  coordinator: [["epochs", "preparation"], ["state", "listeners"], ["."]],
  engine: [["binding"], ["."], ["capture"]],
  data: [["codecs"], ["resizing"], ["transforms"], ["."], ["datasets"], ["loading"], ["hosts"]],
};

/** The level of the files outside `src/` that start things or are the public door. */
const ENTRY_LEVEL = LEVELS.length;

/** The fault of one import, in a sentence that names both files and the rule. */
export type Violation = string;

/** Local imports of each file, both as paths relative to the root with `/` between folders. */
export type ImportGraph = Map<string, string[]>;

interface ModuleInfo {
  specifier: string;
  error?: string;
  dependencies?: {
    specifier: string;
    code?: { specifier?: string; error?: string };
    type?: { specifier?: string; error?: string };
  }[];
}

/**
 * Checks the project at `root`: every `.ts` file of `src/` and `workers/`, and `mod.ts`.
 *
 * @returns The faults, sorted; empty when all is well
 * @throws {Error} when `deno info` fails
 */
export async function checkLayers(root: string): Promise<Violation[]> {
  const files = (await sourceFiles(root))
    .filter((file) => /^(src|workers)\//.test(file) || file === "mod.ts");
  const { graph, problems } = await readImportGraph(root, files);
  return [
    ...problems,
    ...[...graph.keys()].flatMap((file) => unknownFolder(file)),
    ...[...graph].flatMap(([file, targets]) =>
      targets.flatMap((target) => brokenRule(file, target) ?? [])
    ),
    ...findCycles(graph).map((cycle) =>
      `${[...cycle, cycle[0]].join(" → ")}: files import each other in a circle; ` +
      "move what both need into a file of its own"
    ),
  ].sort();
}

/** A folder and its level. */
interface Place {
  folder: string;
  level: number;
}

/** The folder's name and level, or `undefined` for a folder that no level lists. */
function placeOf(file: string): Place | undefined {
  const [top, below] = file.split("/");
  if (top !== "src" && top !== "workers") return { folder: top, level: ENTRY_LEVEL };
  const folder = top === "src" ? below : top;
  const level = LEVELS.findIndex((folders) => folders.includes(folder));
  return level < 0 ? undefined : { folder, level };
}

function unknownFolder(file: string): Violation[] {
  if (placeOf(file)) return [];
  return [`${file}: src/${file.split("/")[1]} has no level; add it to LEVELS in check_layers.ts`];
}

/** The rule that one import breaks, if any. */
function brokenRule(file: string, target: string): Violation | undefined {
  const from = placeOf(file);
  const to = placeOf(target);
  if (!from || !to) return undefined; // reported once per file
  if (from.level === ENTRY_LEVEL && to.level === ENTRY_LEVEL) return undefined;
  return from.folder === to.folder
    ? brokenRuleInside(from.folder, file, target)
    : describeBreak(file, target, from, to);
}

/** The rule that an import within a folder of {@linkcode INNER_LEVELS} breaks, if any. */
function brokenRuleInside(folder: string, file: string, target: string): Violation | undefined {
  const levels = INNER_LEVELS[folder];
  if (!levels) return undefined;
  const [from, to] = [file, target].map((path) => {
    const inner = path.split("/").length > 3 ? path.split("/")[2] : ".";
    const level = levels.findIndex((folders) => folders.includes(inner));
    return { folder: inner === "." ? folder : `${folder}/${inner}`, level };
  });
  const unknown = [from, to].find(({ level }) => level < 0);
  if (unknown) {
    return `${file} → ${target}: src/${unknown.folder} has no level; ` +
      "add it to INNER_LEVELS in check_layers.ts";
  }
  return from.folder === to.folder ? undefined : describeBreak(file, target, from, to);
}

function describeBreak(
  file: string,
  target: string,
  from: Place,
  to: Place,
): Violation | undefined {
  if (from.level > to.level) return undefined;
  const names = `${file} → ${target}`;
  if (from.level === to.level) {
    return `${names}: ${from.folder} and ${to.folder} are both on level ${from.level}; ` +
      "folders on one level never import each other";
  }
  return `${names}: ${from.folder} (level ${from.level}) imports ${to.folder} ` +
    `(level ${to.level}); imports go strictly downward`;
}

/**
 * Returns the fault of a specifier for projects that import this one by a path or an address: their import maps
 * hold, not ours. Packages are named, with their versions, in `src/deps/` alone.
 */
function unportable(file: string, specifier: string): Violation | undefined {
  if (/^(\.{1,2}\/|node:)/.test(specifier)) return undefined;
  if (!file.startsWith("src/deps/")) {
    return `${file} imports ${specifier}: packages are imported by way of a file of src/deps/`;
  }
  return /^npm:\/?(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+(\/|$)/.test(specifier)
    ? undefined
    : `${file} imports ${specifier}: name a package of npm with an exact version, such as npm:zod@4.6.7`;
}

/** Reads which local file imports which, and what `deno info` could not resolve. */
async function readImportGraph(
  root: string,
  files: string[],
): Promise<{ graph: ImportGraph; problems: Violation[] }> {
  const modules = await moduleInfos(root, files);
  const wanted = new Set(files);
  const errors = new Map(modules.flatMap((m) => m.error ? [[m.specifier, m.error]] : []));
  const graph: ImportGraph = new Map();
  const problems: Violation[] = [];
  for (const module of modules) {
    const file = pathUnder(root, module.specifier);
    if (file === undefined || !wanted.has(file)) continue;
    if (module.error) problems.push(`${file}: ${module.error}`);
    const targets = new Set<string>();
    for (const { specifier, code, type } of module.dependencies ?? []) {
      const resolved = code?.specifier ?? type?.specifier;
      const failure = code?.error ?? type?.error ?? (resolved && errors.get(resolved));
      if (failure) problems.push(`${file} → ${specifier}: ${failure}`);
      const target = resolved && pathUnder(root, resolved);
      const trouble = unportable(file, specifier);
      if (trouble) problems.push(trouble);
      if (target?.endsWith(".ts") && !failure) targets.add(target);
    }
    graph.set(file, [...targets].sort());
  }
  return { graph, problems };
}

/** Runs `deno info --json` once over a file that imports all of `files`. */
async function moduleInfos(root: string, files: string[]): Promise<ModuleInfo[]> {
  const folder = await Deno.makeTempDir({ prefix: "lockstep-layers-" });
  try {
    const entry = join(folder, "entry.ts");
    const base = await Deno.realPath(root);
    const lines = files.map((file) =>
      `import ${JSON.stringify(pathToFileURL(join(base, file)).href)};\n`
    );
    await Deno.writeTextFile(entry, lines.join(""));
    const config = join(base, "deno.json");
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", "--config", config, entry],
      cwd: base,
      env: { NO_COLOR: "1" },
    }).output();
    if (!success) throw new Error(`deno info failed: ${readText(stderr).trim()}`);
    return JSON.parse(readText(stdout)).modules;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function pathUnder(root: string, specifier: string): string | undefined {
  if (!specifier.startsWith("file:")) return undefined;
  const path = relative(Deno.realPathSync(root), fromFileUrl(specifier)).replaceAll("\\", "/");
  return path.startsWith("../") ? undefined : path;
}

/**
 * One circle for each group of files that reach each other (Tarjan's strongly connected components).
 *
 * @returns for each group, the files of its shortest circle through the group's first file
 */
export function findCycles(graph: ImportGraph): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const target of graph.get(file) ?? []) {
      if (!graph.has(target)) continue;
      if (!index.has(target)) visit(target);
      if (stack.includes(target)) low.set(file, Math.min(low.get(file)!, low.get(target)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const group = stack.splice(stack.indexOf(file)).sort();
    const circle = shortestCircle(graph, group);
    if (circle) cycles.push(circle);
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return cycles;
}

/** Breadth-first from the group's first file back to itself. */
function shortestCircle(graph: ImportGraph, group: string[]): string[] | undefined {
  const members = new Set(group);
  const paths: string[][] = [[group[0]]];
  const seen = new Set<string>();
  for (let path = paths.shift(); path; path = paths.shift()) {
    for (const target of graph.get(path.at(-1)!) ?? []) {
      if (target === group[0]) return path;
      if (!members.has(target) || seen.has(target)) continue;
      seen.add(target);
      paths.push([...path, target]);
    }
  }
  return undefined;
}

if (import.meta.main) {
  const violations = await checkLayers(PROJECT_ROOT);
  for (const violation of violations) console.error(violation);
  if (violations.length > 0) {
    console.error(`error: ${violations.length} of the imports break the layers of docs/design.md`);
    Deno.exit(1);
  }
  console.log("Layers: imports go strictly downward, without circles");
}
