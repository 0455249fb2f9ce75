/**
 * Advice of the program can be typed: its messages name tasks, flags and keys that exist.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { projectFacts } from "../../scripts/check_docs.ts";
import { readSources } from "../../scripts/check_messages.ts";
import { giving, naming, setInvocation, task, wasTyped } from "../../src/base/invocation.ts";
import { COMMAND as COMPARE } from "../../src/commands/compare.ts";
import { COMMAND as DOCTOR } from "../../src/commands/doctor.ts";
import { COMMAND as EVALUATE } from "../../src/commands/evaluate.ts";
import { type CommandHelp, parseFlags } from "../../src/commands/flags.ts";
import { COMMAND as TRAIN } from "../../src/commands/train.ts";
import { parseAddress } from "../../src/protocol/address.ts";
import { connectFailure } from "../../src/protocol/connect_failure.ts";
import { Handshake } from "../../src/protocol/handshake.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Flags of other programs that the sources start or advise. */
const FOREIGN = new Set(
  ("config quiet no-prompt no-config no-check deny-import deny-read ignore-env version query-gpu query-compute-apps format no-deps only-binary dest " +
    "platform python-version disable-pip-version-check progress-bar notest index-url user shm-size ntasks-per-node iconv checksum delete")
    .split(
      " ",
    ),
);

/** Strings and templates of a source, without its comments. */
function literals(source: string): string {
  const code = source.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  return [...code.matchAll(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|'(?:[^'\\\n]|\\.)*'/g)]
    .map(([text]) => text).join("\n");
}

Deno.test("tasks, flags and keys that messages name exist", async () => {
  const { tasks, commands, configKeys } = await projectFacts();
  const flags = new Set([...commands.values()].flatMap((one) => one.flags.map(({ name }) => name)));
  const text = (await readSources(join(ROOT, "src"))).map(literals).join("\n");
  const wrong = new Set<string>();
  for (const [, name] of text.matchAll(/\bdeno task ([a-z][\w:-]*\w)/g)) {
    if (!tasks.has(name)) wrong.add(`deno task ${name}`);
  }
  for (const [, name] of text.matchAll(/(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w-])/g)) {
    if (flags.has(name) || FOREIGN.has(name) || name.startsWith("allow-")) continue;
    wrong.add(`--${name}`);
  }
  for (const [, key] of text.matchAll(/--(?:set|override) '?([a-z]\w*(?:\.\w+)+)=/g)) {
    if (!configKeys.has(key)) wrong.add(`--set ${key}`);
  }
  const sections = [...configKeys].filter((key) => !key.includes("."))
    .filter((key) => [...configKeys].some((other) => other.startsWith(`${key}.`)));
  const named = new RegExp(
    `(?<=[ "\`])set ((?:${sections.join("|")})\\.\\w+(?:\\.\\w+)*) to\\b`,
    "g",
  );
  for (const [, key] of text.matchAll(named)) if (!configKeys.has(key)) wrong.add(`set ${key} to`);
  assert.deepEqual([...wrong], []);
});

/** The cure for a server that isn't there, for a command as it was typed. */
function cureFor(help: CommandHelp | undefined, args: string[]): string {
  if (help) parseFlags(help, args);
  try {
    const address = { url: "nats://127.0.0.1:1" };
    assert.ok(parseAddress(address));
    const cause = new Deno.errors.ConnectionRefused();
    return connectFailure(address, new Handshake(), 1_000, cause).message;
  } finally {
    setInvocation(undefined);
  }
}

Deno.test("the cure for a server that isn't there fits the command that was typed", () => {
  const url = ["--nats", "nats://127.0.0.1:1"];
  for (const help of [TRAIN, COMPARE, EVALUATE, DOCTOR]) {
    assert.match(cureFor(help, url), /, or leave out --nats to let Lockstep start one$/);
  }
  assert.match(cureFor(TRAIN, []), /, or leave out nats\.url to let Lockstep start one$/);
  assert.match(cureFor(undefined, []), /, or leave out nats\.url to let Lockstep start one$/);
});

Deno.test("giving() and naming() name a flag of the command, else --set, else the key", () => {
  const said = (help: CommandHelp | undefined) => {
    if (help) parseFlags(help, ["--nats", "x"]);
    const all = [giving("nats.ca", "FILE"), giving("nats.url", "URL"), naming("nats.url")];
    const typed = wasTyped("nats");
    setInvocation(undefined);
    return [...all, typed];
  };
  assert.deepEqual(said(TRAIN), ["--set nats.ca=FILE", "--nats URL", "--nats", true]);
  assert.deepEqual(said(EVALUATE), [undefined, "--nats URL", "--nats", true]);
  assert.deepEqual(said(undefined), ["nats.ca=FILE", "nats.url=URL", "nats.url", false]);
  assert.match(task("setup"), /^(npx -y )?deno task setup$/);
});
