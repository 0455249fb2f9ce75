/**
 * Checks that README.md and docs/ say nothing that isn't so: every relative link and anchor leads
 * somewhere, every `deno task` exists, every flag shown with a command is one of its flags, every config
 * key is in the schema, the examples type-check, every export of mod.ts is documented, and no page (Markdown,
 * HTML, CSS) uses a retired word.
 *
 * @module
 */
import { dirname, join } from "node:path/posix";
import { z } from "zod";
import { nearestName } from "../src/base/errors.ts";
import { exists } from "../src/base/paths.ts";
import type { CommandHelp } from "../src/commands/flags.ts";
import { configSchema } from "../src/config/schema.ts";
import { readSources, unknownMessages } from "./check_messages.ts";
import { filesBelow, PROJECT_ROOT, readText } from "./files.ts";
import { findRetiredWords, isExempt } from "./retired_words.ts";
import { type Located, type Page, parseMarkdown } from "./markdown.ts";

/** The facts that the docs are checked against. */
export interface Facts {
  /** Tasks of deno.json. */
  readonly tasks: ReadonlySet<string>;
  /** Commands whose flags are known, by task, and by task and first argument where that has its own. */
  readonly commands: ReadonlyMap<string, CommandHelp>;
  /** Dotted keys of the config, sections included. */
  readonly configKeys: ReadonlySet<string>;
}

/**
 * Checks the Markdown pages of the project at `root`.
 *
 * @returns The faults, as `file:line: sentence`, sorted by file
 */
export async function checkDocs(root: string, facts: Facts): Promise<string[]> {
  const pages = new Map<string, Page>();
  for (const file of await markdownFiles(root)) {
    pages.set(file, parseMarkdown(await Deno.readTextFile(join(root, file))));
  }
  const problems: string[] = [];
  for (const [file, page] of pages) {
    for (const { text, line } of page.links) {
      const problem = await brokenLink(root, pages, file, text);
      if (problem) problems.push(`${file}:${line}: ${problem}`);
    }
    for (const code of page.code) {
      for (const problem of [...wrongCommands(code, facts), ...wrongKeys(code, facts)]) {
        problems.push(`${file}:${code.line}: ${problem}`);
      }
    }
  }
  return [...problems, ...await retiredWordsOf(root)];
}

/** Retired words in the project's Markdown, HTML and CSS. */
async function retiredWordsOf(root: string): Promise<string[]> {
  const problems: string[] = [];
  for (const file of await textFiles(root)) {
    if (isExempt(file)) continue;
    const text = await Deno.readTextFile(join(root, file));
    for (const { start, message } of findRetiredWords(text)) {
      problems.push(`${file}:${text.slice(0, start).split("\n").length}: ${message}`);
    }
  }
  return problems;
}

/** Markdown, HTML and CSS of the root, docs/ and src/, relative to the root, sorted. */
async function textFiles(root: string): Promise<string[]> {
  return await filesBelow(root, ["docs", "src"], /\.(md|html|css)$/);
}

/** README.md and all pages under docs/, relative to the root. */
async function markdownFiles(root: string): Promise<string[]> {
  return (await textFiles(root)).filter((file) => /^(README|docs\/.*)\.md$/.test(file));
}

async function brokenLink(
  root: string,
  pages: ReadonlyMap<string, Page>,
  file: string,
  target: string,
): Promise<string | undefined> {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined; // another site, or mail
  const [path, anchor] = target.split("#");
  const place = path === "" ? file : join(dirname(file), decodeURIComponent(path));
  if (place.startsWith("../") || place.startsWith("/")) return `${target} leads out of the project`;
  if (!await exists(join(root, place))) return `${target} leads to ${place}, which doesn't exist`;
  const page = pages.get(place);
  if (anchor === undefined || !page || page.anchors.has(decodeURIComponent(anchor))) {
    return undefined;
  }
  const nearest = nearestName(anchor, page.anchors);
  return `${target}: ${place} has no heading #${anchor}${nearest ? `; there is #${nearest}` : ""}`;
}

/** Tasks and flags of a line of code that don't exist. */
function* wrongCommands({ text }: Located, facts: Facts): Generator<string> {
  for (const [, task, rest] of text.matchAll(/\bdeno task ([a-z][\w:-]*)([^|;&#]*)/g)) {
    if (!facts.tasks.has(task)) {
      const nearest = nearestName(task, facts.tasks);
      yield `deno.json has no task ${task}${nearest ? `; there is ${nearest}` : ""}`;
      continue;
    }
    const command = commandOf(task, rest, facts);
    if (!command) continue;
    for (const [, dashes, flag] of rest.matchAll(/(?<=\s)(--?)([a-zA-Z][\w-]*)/g)) {
      const known = command.flags.some(({ name, short }) =>
        flag === (dashes === "-" ? short : name)
      );
      if (!known) yield `deno task ${command.name} has no flag ${dashes}${flag}`;
    }
    for (const [, key] of rest.matchAll(/--set[ =]'?([\w.]+)=/g)) {
      if (!facts.configKeys.has(key)) yield `The config has no key ${key}`;
    }
  }
}

/** The command of a task: of `deno task bench step …` that of the benchmark. */
function commandOf(task: string, rest: string, { commands }: Facts): CommandHelp | undefined {
  const [first] = rest.trim().split(/\s+/);
  return commands.get(`${task} ${first}`) ?? commands.get(task);
}

/** Endings that make `model.json` a file and not a key of the section `model`. */
const FILE_NAME = /\.(json|jsonl|ts|yaml|yml|md|csv|png|svg|pth|safetensors|html)$/;

/** Inline code such as `train.lr` that starts with a section of the config and isn't in it. */
function* wrongKeys({ text }: Located, facts: Facts): Generator<string> {
  if (!/^[a-z]\w*(\.\w+)+$/.test(text) || FILE_NAME.test(text)) return;
  const section = text.split(".")[0];
  if (!facts.configKeys.has(section) || facts.configKeys.has(text)) return;
  const nearest = nearestName(text, facts.configKeys);
  yield `The config has no key ${text}${nearest ? `; there is ${nearest}` : ""}`;
}

/** The part of a JSON schema that holds keys. */
interface JsonSchema {
  properties?: Record<string, JsonSchema>;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
}

/** Dotted keys of a JSON schema; alternatives add up. */
export function schemaKeys(schema: JsonSchema, prefix = ""): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => [
    prefix + name,
    ...schemaKeys(child, `${prefix}${name}.`),
  ]);
  const alternatives = [...schema.anyOf ?? [], ...schema.oneOf ?? []];
  return [...own, ...alternatives.flatMap((child) => schemaKeys(child, prefix))];
}

/** Reads tasks, flags and config keys from the project itself. */
export async function projectFacts(): Promise<Facts> {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT_ROOT, "deno.json")));
  const commands = new Map<string, CommandHelp>();
  for await (const { name } of Deno.readDir(join(PROJECT_ROOT, "src/commands"))) {
    const module = await import(new URL(`../src/commands/${name}`, import.meta.url).href);
    const command: CommandHelp | undefined = module.COMMAND;
    if (command) commands.set(command.name, command);
  }
  const schema = z.toJSONSchema(configSchema, { unrepresentable: "any", io: "input" });
  return {
    tasks: new Set(Object.keys(tasks)),
    commands,
    configKeys: new Set(schemaKeys(schema as JsonSchema)),
  };
}

/** Runs a `deno` command over the project; returns its complaint when it fails. */
async function complaintOf(args: string[]): Promise<string[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: PROJECT_ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return [];
  return [`deno ${args.join(" ")} fails:\n${readText(stdout)}${readText(stderr)}`.trimEnd()];
}

if (import.meta.main) {
  const problems = await checkDocs(PROJECT_ROOT, await projectFacts());
  const pages = await markdownFiles(PROJECT_ROOT);
  const hasDoor = await exists(join(PROJECT_ROOT, "mod.ts"));
  const door = hasDoor ? ["mod.ts"] : [];
  problems.push(...await complaintOf(["check", "--doc-only", "src", ...door, ...pages]));
  if (hasDoor) problems.push(...await complaintOf(["doc", "--lint", "mod.ts"]));
  const quoted = await Deno.readTextFile(join(PROJECT_ROOT, "docs/troubleshooting.md"));
  const unknown = unknownMessages(quoted, await readSources(join(PROJECT_ROOT, "src")));
  problems.push(...unknown.map((problem) => `docs/troubleshooting.md:${problem}`));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error(`error: ${problems.length} things that the docs say are not so`);
    Deno.exit(1);
  }
  console.log(`Docs: links, tasks, flags, keys and examples of ${pages.length} pages hold`);
}
