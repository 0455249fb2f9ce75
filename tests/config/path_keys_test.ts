/**
 * One rule for every config key that names a file or a folder. The keys are those of the schema, so that a new one can't
 * be forgotten: a key that takes free text is marked as a path, or stands in the list of those that are none.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "@std/yaml";
import { UsageError } from "../../src/base/errors.ts";
import { configChanges } from "../../src/config/changes.ts";
import { loadConfig, loadRunConfig, validateConfig } from "../../src/config/load.ts";
import { parseOverride } from "../../src/config/override.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import {
  childNodes,
  keysOf,
  nodesAt,
  rootNodes,
  type SchemaNode,
  takesText,
} from "../../src/config/schema_paths.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

/** Keys of free text that is no path. */
const NO_PATHS = [
  "name",
  "data.trainFolder", // names of folders within data.root
  "data.valFolder",
  "model.train.0", // patterns of parameters' names
  "train.groups.0.match.0",
  "train.earlyStopping.metric",
  "checkpoint.monitor",
  "nats.url",
  "nats.prefix",
  "dashboard.host",
  "hosts.listen",
  "hosts.address",
];

/** All keys of free text by dotted path; the first element stands for a list. */
function textKeys(nodes: readonly SchemaNode[] = rootNodes(), path: string[] = []): string[] {
  const below = (step: string) => textKeys(childNodes(nodes, step), [...path, step]);
  const found = keysOf(nodes).flatMap(below);
  if (nodes.some(({ items }) => items !== undefined)) found.push(...below("0"));
  return takesText(nodes) ? [path.join("."), ...found] : found;
}

const isMarked = (key: string) => nodesAt(key.split(".")).some(({ path }) => path !== undefined);
const PATH_KEYS = textKeys().filter(isMarked);

/** A config in which one key has a value, without what would contradict it. */
function withKey(key: string, value: string): Record<string, unknown> {
  const config = structuredClone(tinyConfig("/images")) as unknown as Record<
    string,
    Record<string, unknown>
  >;
  if (key === "data.module") delete config.data.root;
  if (key === "model.module") config.model = {};
  if (key.startsWith("nats.")) config.nats = { url: "tls://example.org" };
  const steps = key.split(".");
  let holder = config as Record<string, unknown>;
  for (const step of steps.slice(0, -1)) {
    holder = (holder[step] ??= {}) as Record<string, unknown>;
  }
  holder[steps.at(-1)!] = value;
  return config;
}

/** A key's value in a validated config, a module's as the path of its file. */
function pathAt(config: object, key: string): string {
  const value = key.split(".").reduce<unknown>(
    (node, step) => (node as Record<string, unknown>)[step],
    config,
  );
  assert.equal(typeof value, "string", key);
  return String(value).startsWith("file:") ? fileURLToPath(String(value)) : String(value);
}

/** Loads the value from a YAML file in `folder`. */
async function fromFile(folder: string, key: string, value: string): Promise<string> {
  const path = join(folder, "recipe.yaml");
  await Deno.writeTextFile(path, stringify(withKey(key, value)));
  return pathAt(await loadConfig(path), key);
}

/** Loads the value from the command line, over a YAML file in `folder`. */
async function fromFlag(folder: string, key: string, value: string): Promise<string> {
  const path = join(folder, "recipe.yaml");
  await Deno.writeTextFile(path, stringify(withKey(key, "/elsewhere")));
  return pathAt(await loadConfig(path, [parseOverride(`${key}=${value}`)]), key);
}

/** Gives the process another environment or working directory for a while; such tests must not overlap. */
async function within(
  { home, cwd }: { home?: string | null; cwd?: string },
  action: () => Promise<void>,
): Promise<void> {
  const oldFolder = Deno.cwd();
  using _home = withVariables(home === undefined ? {} : { HOME: home ?? undefined });
  try {
    if (cwd !== undefined) Deno.chdir(cwd);
    await action();
  } finally {
    Deno.chdir(oldFolder);
  }
}

Deno.test("every config key of free text is marked as a path, or known to be none", () => {
  assert.deepEqual(textKeys().filter((key) => !isMarked(key)).toSorted(), NO_PATHS.toSorted());
  for (
    const key of [
      "out",
      "data.root",
      "data.module",
      "model.module",
      "model.weights",
      "nats.ca",
      "nats.credentials",
      "train.lossModule",
      "validate.metricsModule",
    ]
  ) assert.ok(PATH_KEYS.includes(key), key);
});

/** Relative paths, and where they are seen from a folder. */
const RELATIVE: readonly [text: string, path: string][] = [
  ["x.ext", "x.ext"],
  ["./x", "x"],
  ["../x", "../x"],
  ["my photos/naïve 図", "my photos/naïve 図"],
  ["C:\\new\\x", "C:\\new\\x"],
  ["a/../b/", "b"],
  ["./~x", "~x"],
  ["x#1?y%20z", "x#1?y%20z"],
  ["file:my%20photos/x", "my photos/x"],
  ["file:../x", "../x"],
];

Deno.test("each path key counts from the YAML file's folder, typed from the working directory, and comes out absolute", () =>
  withTemporaryFolder(async (folder) => {
    const [recipes, elsewhere] = [join(folder, "my recipes"), join(folder, "elsewhere")];
    await Deno.mkdir(recipes);
    await Deno.mkdir(elsewhere);
    await within({ cwd: elsewhere }, async () => {
      for (const key of PATH_KEYS) {
        for (const [text, path] of RELATIVE) {
          assert.equal(await fromFile(recipes, key, text), join(recipes, path), `${key} ${text}`);
          assert.equal(await fromFlag(recipes, key, text), join(elsewhere, path), key);
          assert.equal(await fromFile("../my recipes", key, text), join(recipes, path), key);
          const program = validateConfig(withKey(key, text) as unknown as ConfigInput);
          assert.equal(pathAt(program, key), join(elsewhere, path), `${key} ${text}`);
        }
        for (const url of ["file:///x/a%20b", "/x/a b"]) {
          assert.equal(await fromFile(recipes, key, url), "/x/a b", key);
          assert.equal(await fromFlag(recipes, key, url), "/x/a b", key);
        }
        const again = validateConfig(withKey(key, "x") as unknown as ConfigInput);
        await within({ cwd: folder }, () => {
          assert.deepEqual(validateConfig(again as ConfigInput), again, "a run's config.yaml");
          return Promise.resolve();
        });
      }
    });
  }));

Deno.test("~ is the home folder in each path key, also in quotes and in YAML; without HOME and for others it's refused", () =>
  withTemporaryFolder(async (folder) => {
    const problem = async (key: string, value: string, load = fromFlag) => {
      const error = await load(folder, key, value).then(() => undefined, (thrown) => thrown);
      assert.ok(error instanceof UsageError, `${key}=${value}: ${error}`);
      return error.message;
    };
    await within({ home: "/home/me too" }, async () => {
      for (const key of PATH_KEYS) {
        for (const [text, path] of [["~", ""], ["~/", ""], ["~/photos/x", "/photos/x"]]) {
          assert.equal(await fromFlag(folder, key, text), `/home/me too${path}`, key);
          assert.equal(await fromFlag(folder, key, `'${text}'`), `/home/me too${path}`, key);
          assert.equal(await fromFile(folder, key, text), `/home/me too${path}`, key);
        }
        assert.equal(await fromFlag(folder, key, "a/~/b"), join(Deno.cwd(), "a/~/b"), key);
        assert.equal(
          await problem(key, "~bob/photos"),
          `--set ${key}: ${key} is "~bob/photos": ~bob would be somebody's home folder, which only shells know: ` +
            "write the whole path, or ./~bob/photos for a name that begins with ~",
        );
        const address = await problem(key, "https://example.org/photos.zip");
        assert.match(address, /it is an address|never from the network/);
      }
    });
    await within({ home: null }, async () => {
      for (const key of PATH_KEYS) {
        const none =
          `${key} is "~/x": there is no home folder for ~, as HOME is not set: set HOME, or write the ` +
          "whole path";
        assert.equal(await problem(key, "~/x"), `--set ${key}: ${none}`);
        assert.match(
          await problem(key, "~/x", fromFile),
          /^\/.*\.yaml, line \d+: .*HOME is not set/,
        );
        assert.equal(await fromFlag(folder, key, "/x"), "/x");
      }
    });
  }));

Deno.test("words that a path key takes, and its default, are no paths", () =>
  withTemporaryFolder(async (folder) => {
    for (const name of ["pretrained", "none"]) {
      assert.equal(await fromFile(folder, "model.weights", name), name);
      assert.equal(await fromFlag(folder, "model.weights", name), name);
    }
    assert.equal(await fromFlag(folder, "model.weights", "./none"), join(Deno.cwd(), "none"));
    const path = join(folder, "recipe.yaml");
    const { out: _, ...config } = tinyConfig("/images");
    await Deno.writeTextFile(path, stringify(config));
    assert.equal((await loadConfig(path)).out, join(Deno.cwd(), "runs"), "nobody wrote it there");
  }));

Deno.test("a working directory that is gone is said where a path counts from it, and only there", () =>
  withTemporaryFolder(async (folder) => {
    const gone = join(folder, "gone");
    await Deno.mkdir(gone);
    await within({ cwd: gone }, async () => {
      await Deno.remove(gone);
      assert.equal(await fromFlag(folder, "data.root", "/x"), "/x");
      assert.equal(await fromFile(folder, "data.root", "x"), join(folder, "x"));
      await assert.rejects(
        fromFlag(folder, "data.root", "x"),
        /^UsageError: --set data\.root: data\.root is "x": it counts from the working directory, which is gone: /,
      );
    });
  }));

Deno.test("relative paths of an older run's config count from the working directory, and that is said", () =>
  withTemporaryFolder(async (folder) => {
    const run = join(folder, "runs", "old");
    await Deno.mkdir(join(run, "checkpoints"), { recursive: true });
    const path = join(run, "config.yaml");
    const old = tinyConfig("photos", {
      out: "runs",
      model: { name: "plain_cnn", weights: "w.pth" },
    });
    await Deno.writeTextFile(path, stringify(old));
    const present = tinyConfig("/photos");
    await within({ cwd: folder }, async () => {
      for (const load of [loadRunConfig, loadConfig]) {
        const notes: string[] = [];
        const config = await load(path, [], { onNote: (note) => notes.push(note) });
        assert.equal(config.data.root, join(folder, "photos"));
        assert.equal(config.model.weights, join(folder, "w.pth"));
        const kept = JSON.parse(JSON.stringify({ ...config, ...old, train: config.train }));
        assert.deepEqual(configChanges(kept, config), [], "as its checkpoint has it");
        assert.deepEqual(notes, [
          `${path} is of a version that kept paths as they were typed: model.weights (w.pth), data.root (photos) ` +
          "count from the working directory",
        ]);
        await Deno.writeTextFile(path, stringify(present));
        await load(path, [], { onNote: (note) => assert.fail(note) });
        await Deno.writeTextFile(path, stringify(old));
      }
    });
  }));
