import assert from "node:assert/strict";
import { join } from "node:path";
import { runProvision } from "./run_provision.ts";

const FILE = "resnet18-f37072fd.pth";

async function withCache(use: (cache: string, weights: string) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await use(cache, join(cache, "weights"));
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

Deno.test("ensurePretrainedWeights() says what to fetch by hand, and where to put it, without a network", () =>
  withCache(async (cache, weights) => {
    const { name, message } = await runProvision(cache, "ensureResnet18", {
      rights: ["--allow-read", "--allow-write", "--allow-env"],
    });
    assert.equal(name, "UsageError");
    assert.match(message!, /resnet18-f37072fd\.pth can't be fetched \(.+\): fetch https:/);
    assert.ok(message!.includes(`by hand and put it at ${join(weights, FILE)}`), message!);
    assert.match(message!, /--weights FILE or from scratch with --weights none$/);
  }));

Deno.test("ensurePretrainedWeights() takes a file that was put there by hand", () =>
  withCache(async (cache, weights) => {
    await Deno.mkdir(weights);
    await Deno.writeTextFile(join(weights, FILE), "by hand");
    const { path, events } = await runProvision(cache, "ensureResnet18", {
      rights: ["--allow-read", "--allow-env"],
    });
    assert.equal(path, join(weights, FILE));
    assert.deepEqual(events, []);
  }));
