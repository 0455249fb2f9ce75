import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../../src/data/codecs/data_error.ts";
import { findInputs, InputSource } from "../../../src/data/datasets/image_inputs.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { makeImages } from "../../support/images.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

Deno.test("findInputs() takes files, folders, patterns and addresses in the order of their names", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "p");
    await makeImages(root, { classes: ["b", "a"], train: 2, val: 1 });
    await Deno.writeTextFile(join(root, "val", "notes.txt"), "no image");
    await Deno.writeTextFile(join(root, "[odd].jpg"), "x");
    await Deno.writeTextFile(join(root, "noending"), "x");
    const names = [
      join(root, "val"),
      "http://user:secret@host.example/x.jpg?size=2",
      join(root, "train", "*", "[01].jpg"),
      join(root, "[odd].jpg"),
      join(root, "noending"),
      "-",
      join(root, "**", "b", "0.jp{e,}g"),
    ];
    const { inputs, problems } = await findInputs(names);
    assert.deepEqual(problems, []);
    assert.deepEqual(inputs.map(({ name }) => name.replace(`${root}/`, "")), [
      "val/a/0.jpg",
      "val/b/0.jpg",
      "http://host.example/x.jpg?size=2",
      "train/a/0.jpg",
      "train/a/1.jpg",
      "train/b/0.jpg",
      "train/b/1.jpg",
      "[odd].jpg",
      "noending",
      "-",
      "train/b/0.jpg",
      "val/b/0.jpg",
    ]);
    const [url] = inputs.filter(({ from }) => from === "url");
    assert.equal(url.place, names[1], "fetched with its password, shown without");
  }));

Deno.test("findInputs() says what is no image, and goes on", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.mkdir(join(folder, "empty"));
    await Deno.writeTextFile(join(folder, "a.jpg"), "x");
    const { inputs, problems } = await findInputs([
      join(folder, "none.jpg"),
      join(folder, "empty"),
      join(folder, "*.png"),
      "ftp://user:secret@host.example/x.jpg",
      "https://",
      join(folder, "a.jpg"),
    ]);
    assert.equal(inputs.length, 1);
    assert.deepEqual(problems.map(({ reason }) => reason), [
      "the file is missing",
      "the folder has no images",
      "no image matches",
      "ftp: is not supported, only http: and https:",
      "it is not an address",
    ]);
    assert.ok(!JSON.stringify(problems).includes("secret"));
  }));

/** A server with one image, and with all that can go wrong. */
function serve(image: Uint8Array<ArrayBuffer>) {
  const jpeg = { headers: { "content-type": "image/jpeg" } };
  const endless = () =>
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(100_000)),
    });
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    const { pathname } = new URL(url);
    switch (pathname) {
      case "/image.jpg":
        return new Response(image, jpeg);
      case "/moved.jpg":
        return Response.redirect(new URL("/image.jpg", url), 302);
      case "/page":
        return new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
      case "/junk.jpg":
        return new Response("not an image", jpeg);
      case "/large.jpg":
        return new Response(new Uint8Array(2_000_000), jpeg);
      case "/endless.jpg":
        return new Response(endless(), jpeg);
      case "/silent.jpg":
        return new Response(new ReadableStream(), jpeg);
      default:
        return new Response(null, { status: 404 });
    }
  });
}

Deno.test("InputSource reads files and addresses, and says why it can't", () =>
  withTemporaryFolder(async (folder) => {
    await openEngine();
    await makeImages(folder, { classes: ["a"], train: 1, val: 1 });
    const file = join(folder, "val", "a", "0.jpg");
    await using server = serve(await Deno.readFile(file));
    const base = `http://127.0.0.1:${server.addr.port}`;
    await Deno.writeTextFile(join(folder, "junk.jpg"), "junk");
    const reasons: [string, RegExp | undefined][] = [
      [file, undefined],
      [`${base}/image.jpg`, undefined],
      [`${base}/moved.jpg`, undefined],
      [`${base}/none.jpg`, /the server answered 404/],
      [`${base}/page`, /the server sent text\/html, not an image/],
      [`${base}/junk.jpg`, /it is not a JPEG, PNG/],
      [`${base}/large.jpg`, /the file is larger than 1 MB/],
      [`${base}/endless.jpg`, /the file is larger than 1 MB/],
      [`${base}/silent.jpg`, /the server took longer than 0\.5 s/],
      ["http://127.0.0.1:9/x.jpg", /it can't be fetched/],
      [join(folder, "junk.jpg"), /it is not a JPEG, PNG/],
    ];
    const { inputs, problems } = await findInputs(reasons.map(([name]) => name));
    assert.deepEqual(problems, []);
    using source = new InputSource(inputs, { maxBytes: 1_000_000 });
    using hasty = new InputSource(inputs, { timeoutMs: 500 });
    const sample = (index: number) => ({ path: inputs[index].name, label: 0, index });
    const pixels = await source.read(sample(0));
    for (const [index, [name, reason]] of reasons.entries()) {
      if (!reason) {
        assert.deepEqual(await source.read(sample(index)), pixels, name);
        continue;
      }
      const reader = name.endsWith("/silent.jpg") ? hasty : source;
      await assert.rejects(reader.read(sample(index)), (error: Error) => {
        assert.ok(error instanceof DataError, String(error.stack));
        assert.match(error.reason, reason, name);
        return true;
      });
    }
    await Deno.remove(file);
    await assert.rejects(source.read(sample(0)), /the file is missing/);
    using small = new InputSource(inputs, { maxPixels: 10 });
    await assert.rejects(small.read(sample(1)), /more than data\.maxPixels/);
  }));

Deno.test("InputSource stops fetching with the signal's own reason", async () => {
  await using server = serve(new Uint8Array());
  const url = `http://127.0.0.1:${server.addr.port}/silent.jpg`;
  const { inputs } = await findInputs([url]);
  const controller = new AbortController();
  using source = new InputSource(inputs, { signal: controller.signal });
  const reading = source.read({ path: url, label: 0, index: 0 });
  setTimeout(() => controller.abort(new Error("enough")), 50);
  await assert.rejects(reading, /^Error: enough$/);
});
