import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { hashModule } from "../../src/base/user_module.ts";
import { checkHostModules, hashModuleFiles } from "../../src/train/host_modules.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const HOSTS = { hostName: "Host 1 (b)", coordinator: "a" };

Deno.test("checkHostModules() names the module, the file that differs, and both hashes", () =>
  withTemporaryFolder(async (folder) => {
    const model = join(folder, "model.ts"), part = join(folder, "parts/block.ts");
    await Deno.mkdir(join(folder, "parts"));
    await Deno.writeTextFile(model, 'import { a } from "./parts/block.ts";\nexport const b = a;\n');
    await Deno.writeTextFile(part, "export const a = 1;\n");
    await Deno.writeTextFile(join(folder, "metrics.ts"), "export const metrics = [];\n");
    const url = (name: string) => pathToFileURL(join(folder, name)).href;
    const config = {
      ...{ model: { module: url("model.ts") }, data: {}, train: {} },
      validate: { metricsModule: url("metrics.ts") },
    };
    const hashes = await hashModuleFiles(config);
    assert.deepEqual(Object.keys(hashes), ["model.module", "validate.metricsModule"]);
    assert.deepEqual(Object.keys(hashes["model.module"]!), ["", "parts/block.ts"]);
    // The hash of the whole, which checkpoints keep, is as it was.
    assert.equal((await hashModule("model.module", url("model.ts"))).length, 64);
    await checkHostModules(config, hashes, HOSTS);

    const refused = async (expected: RegExp) =>
      await assert.rejects(checkHostModules(config, hashes, HOSTS), {
        name: "UsageError",
        message: expected,
      });
    const was = hashes["model.module"]!["parts/block.ts"]!.slice(0, 12);
    await Deno.writeTextFile(part, "export const a = 2;\n");
    const now = (await hashModuleFiles(config))["model.module"]!["parts/block.ts"]!.slice(0, 12);
    assert.notEqual(now, was);
    await refused(
      new RegExp(
        String
          .raw`^Host 1 \(b\): model.module: \S*/parts/block.ts differs from the coordinator's \(SHA-256 ${now}, ` +
          String
            .raw`the coordinator \(a\) has ${was}\): give both hosts the same file, such as with scp ` +
          String.raw`a:(\S*/parts/block.ts) \1$`,
      ),
    );
    await Deno.remove(part);
    await refused(/model.module: \S*block.ts differs from the coordinator's \(SHA-256 none/);
    await Deno.writeTextFile(part, "export const a = 1;\n");
    await Deno.writeTextFile(join(folder, "metrics.ts"), "export const metrics = [1];\n");
    await refused(/^Host 1 \(b\): validate.metricsModule: \S*\/metrics.ts differs/);
    await Deno.remove(model);
    await refused(/^Host 1 \(b\): model.module: file:\S*: the file is missing/);
  }));
