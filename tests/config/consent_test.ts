import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheFolder } from "../../src/base/paths.ts";
import { recordConsent, requireModules, requireServer } from "../../src/config/consent.ts";
import { validateConfig } from "../../src/config/load.ts";
import { withCredentials } from "../../src/protocol/address.ts";
import { hashModules } from "../../src/train/modules.ts";
import { withVariables } from "../support/environment.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

Deno.test("requireModules() and requireServer() let pass what this user has trained with or names, as long as it is the same", () =>
  withTemporaryFolder(async (folder) => {
    using _record = withVariables({ LOCKSTEP_TRUSTED: join(folder, "trusted") });
    const path = join(folder, "loss.ts");
    await Deno.writeTextFile(path, 'import "./part.ts";');
    await Deno.writeTextFile(join(folder, "part.ts"), "export {};");
    const url = pathToFileURL(path).href;
    const modules = [["train.lossModule", url]] as const;
    const where = { where: "Run x" };
    const refusal =
      /Run x names code .*train\.lossModule \/\S+loss\.ts \(SHA-256 [\da-f]{64}\).*--allow-module \//;
    await assert.rejects(requireModules(modules, {}, where), {
      name: "UsageError",
      message: refusal,
    });
    const config = validateConfig(tinyConfig(folder, {
      nats: { url: "nats://user:hidden@h.example:4222" },
      train: { lossModule: path },
    }));
    assert.equal(config.nats.url, "nats://h.example:4222");
    assert.equal(withCredentials(config.nats.url!), "nats://user:hidden@h.example:4222");
    await assert.rejects(
      requireServer(config, {}, "Run x"),
      /nats:\/\/h\.example:4222: .*--nats nats/,
    );
    await requireServer(config, { keys: ["nats.url"] }, "Run x");
    assert.equal(await recordConsent(config, await hashModules(config)), undefined);
    assert.ok((await Array.fromAsync(Deno.readDir(join(folder, "trusted")))).length >= 2);
    await requireModules(modules, {}, where);
    await requireServer(config, {}, "Run x");
    await Deno.writeTextFile(join(folder, "part.ts"), "export const other = 1;");
    await assert.rejects(requireModules(modules, {}, where), refusal);
    await requireModules(modules, { modules: [path] }, where);
    await requireModules(modules, {}, where); // on record now
    await Deno.writeTextFile(path, "export {};");
    await requireModules(modules, { keys: ["train.lossModule"] }, where);
  }));

Deno.test("what tests train with is not on this user's record", () => {
  const trusted = Deno.env.get("LOCKSTEP_TRUSTED");
  assert.ok(trusted, "set by scripts/test.ts");
  assert.ok(!trusted.startsWith(cacheFolder()), trusted);
});
