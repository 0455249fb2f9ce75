import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { exists } from "../../src/base/paths.ts";
import { makeFromArchive } from "../../src/provision/archive_dataset.ts";
import { type ArchiveFacts, ARCHIVES } from "../../src/provision/dataset_catalogue.ts";
import type { ProgressEvent } from "../../src/provision/progress.ts";
import { type Files, zipOf } from "../support/archives.ts";
import { CIFAR_CLASSES, CIFAR_FILES, makeCifar } from "../support/cifar.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const PAIR: Files = {
  "insects/train/ants/1.jpg": "1",
  "insects/train/ants/2.JPG": "2",
  "insects/train/ants/imageNotFound.gif": "no image",
  "insects/train/ants/._1.jpg": "no image either",
  "insects/train/bees/3.jpeg": "3",
  "insects/val/ants/4.jpg": "4",
  "insects/val/bees/5.png": "5",
  "__MACOSX/insects/._train": "resource fork",
};
/** The real description, with fewer images. */
const INSECTS: ArchiveFacts = { ...ARCHIVES.hymenoptera, train: 3, val: 2 };
const CIFAR: ArchiveFacts = { ...ARCHIVES.cifar10, train: 20, val: 4 };

/** One attempt to make a data set, in a cache that stays between attempts. */
interface Rig {
  /** Folder in which archives are put by hand. */
  readonly folder: string;
  /** Ranges that the server was asked for. */
  readonly asked: (string | null)[];
  make(facts: ArchiveFacts, file: string): Promise<{ target: string; events: ProgressEvent[] }>;
  /** The message of an attempt that has to fail. */
  refusal(facts: ArchiveFacts, file: string): Promise<string>;
}

/** Serves one archive under any name, on a free port of this machine. */
async function serving(bytes: Uint8Array | undefined, use: (rig: Rig) => Promise<void>) {
  await withTemporaryFolder(async (folder) => {
    const asked: (string | null)[] = [];
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const range = request.headers.get("range");
      asked.push(range);
      if (!bytes) return new Response(null, { status: 404 });
      const start = Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")![1]);
      if (start >= bytes.length) return new Response(null, { status: 416 });
      return new Response(new Uint8Array(bytes.subarray(start)), { status: start > 0 ? 206 : 200 });
    });
    const make = async (facts: ArchiveFacts, file: string) => {
      const scratch = await Deno.makeTempDir({ dir: folder, prefix: "scratch-" });
      const target = join(scratch, "result");
      const events: ProgressEvent[] = [];
      const source = `http://127.0.0.1:${server.addr.port}/some/where/${file}?v=1`;
      const places = { target, scratch, folder, what: "images" };
      await makeFromArchive({ ...facts, source }, places, (event) => events.push(event));
      return { target, events };
    };
    const refusal = async (facts: ArchiveFacts, file: string) => {
      try {
        await make(facts, file);
      } catch (error) {
        assert.ok(error instanceof UsageError, String(error));
        const byHand =
          `fetch http://127.0.0.1:${server.addr.port}/some/where/${file}?v=1 by hand ` +
          `and put it at ${join(folder, file)}, or set data.root to a folder`;
        assert.ok(error.message.includes(byHand), error.message);
        return error.message;
      }
      assert.fail("the archive was accepted");
    };
    try {
      await use({ folder, asked, make, refusal });
    } finally {
      await server.shutdown();
    }
  });
}

async function withCifar(use: (bytes: Uint8Array, md5: string) => Promise<void>, perBatch = 4) {
  await withTemporaryFolder(async (folder) => {
    const { archive } = await makeCifar(folder, { perBatch, archive: true });
    const bytes = await Deno.readFile(archive);
    await use(bytes, createHash("md5").update(bytes).digest("hex"));
  });
}

Deno.test("makeFromArchive() fetches, unpacks and counts an image folder, and tells its terms", async () =>
  await serving(await zipOf(PAIR), async ({ folder, make }) => {
    const { target, events } = await make(INSECTS, "insects.zip");
    const ants = (await Array.fromAsync(Deno.readDir(join(target, "train", "ants"))))
      .map(({ name }) => name).sort();
    assert.deepEqual(ants, ["._1.jpg", "1.jpg", "2.JPG"], "without the placeholder");
    assert.equal(await Deno.readTextFile(join(target, "val/bees/5.png")), "5");
    const about = JSON.parse(await Deno.readTextFile(join(target, "about.json")));
    assert.deepEqual([about.licence, about.counts], [INSECTS.licence, { train: 3, val: 2 }]);
    assert.ok(events.some(({ note }) => note === `terms: ${INSECTS.licence}`));
    assert.ok(events.some(({ what, bytes }) => what === "insects.zip" && bytes));
    for (const left of ["insects.zip", "insects.zip.part"]) {
      assert.equal(await exists(join(folder, left)), false, left);
    }
  }));

Deno.test("makeFromArchive() goes on with a part that an earlier attempt left", async () => {
  const bytes = await zipOf(PAIR);
  await serving(bytes, async ({ folder, asked, make }) => {
    await Deno.writeFile(join(folder, "insects.zip.part"), bytes.subarray(0, 100));
    await make(INSECTS, "insects.zip");
    assert.deepEqual(asked, ["bytes=100-"]);
  });
});

Deno.test("makeFromArchive() checks CIFAR-10's MD5, and fetches anew what has another", () =>
  withCifar(async (bytes, md5) => {
    await serving(bytes, async ({ folder, make, refusal }) => {
      const message = await refusal(CIFAR, "cifar-10-binary.tar.gz");
      assert.ok(message.includes(`its MD5 is ${md5}, expected ${ARCHIVES.cifar10.md5}`), message);
      assert.equal(await exists(join(folder, "cifar-10-binary.tar.gz.part")), false);
      const { target } = await make({ ...CIFAR, md5 }, "cifar-10-binary.tar.gz");
      for (const name of CIFAR_FILES) {
        assert.equal((await Deno.stat(join(target, name))).size, 4 * 3073, name);
      }
    });
  }));

Deno.test("makeFromArchive() counts CIFAR-10's images", () =>
  withCifar(async (bytes, md5) => {
    await serving(bytes, async ({ refusal }) => {
      const more = { ...CIFAR, md5, train: 50_000, val: 4 };
      assert.match(
        await refusal(more, "cifar.tar.gz"),
        /cifar\.tar\.gz is not the expected data set: its data_batch_1\.bin has 12292 bytes, expected 30730000/,
      );
    });
  }));

Deno.test("makeFromArchive() uses an archive that was put by hand, checks it, and leaves it there", () =>
  withCifar(async (bytes, md5) => {
    await serving(undefined, async ({ folder, asked, make, refusal }) => {
      const place = join(folder, "cifar-10-binary.tar.gz");
      await Deno.writeFile(place, bytes);
      const { target, events } = await make({ ...CIFAR, md5 }, "cifar-10-binary.tar.gz");
      assert.ok(events.some(({ note }) => note === `using ${place}`));
      assert.equal(await exists(join(target, "data_batch_5.bin")), true);
      const message = await refusal(CIFAR, "cifar-10-binary.tar.gz");
      assert.match(message, /is not the data set's archive: its MD5 is .*; remove \/.*, or fetch/);
      await Deno.writeTextFile(place, "<!DOCTYPE html>");
      const page = await refusal({ ...CIFAR, md5: undefined }, "cifar-10-binary.tar.gz");
      assert.match(page, /\(15 bytes\) is no archive/);
      assert.equal(await exists(place), true, "it is somebody's file");
      assert.deepEqual(asked, []);
    });
  }));

Deno.test("makeFromArchive() names URL, file and place when the server hasn't got it", () =>
  serving(undefined, async ({ folder, refusal }) => {
    assert.match(
      await refusal(INSECTS, "insects.zip"),
      /^http:\/\/127\.0\.0\.1:\d+\/some\/where\/insects\.zip\?v=1 can't be fetched \(the server answered 404\): fetch/,
    );
    assert.equal(await exists(join(folder, "insects.zip")), false);
  }));

Deno.test("makeFromArchive() refuses other content, and fetches it anew the next time", async () => {
  const other = (change: Files, without: string[] = []) =>
    zipOf(
      Object.fromEntries(
        Object.entries({ ...PAIR, ...change }).filter(([name]) => !without.includes(name)),
      ),
    );
  const cases: [Promise<Uint8Array>, RegExp][] = [
    [other({ "insects/val/bees/6.jpg": "6" }), /its val\/ has 3 images, expected 2/],
    [other({}, ["insects/train/ants/1.jpg"]), /its train\/ has 2 images, expected 3/],
    [other({}, ["insects/val/bees/5.png"]), /it has no folder val\/bees/],
    [zipOf({ "insects/train/ants": "a file", "insects/val/": "" }), /it has no folder train\/ants/],
    [other({}).then((bytes) => bytes.subarray(0, 300)), /is cut short or damaged/],
    [Promise.resolve(new TextEncoder().encode("<!DOCTYPE html>")), /is no archive/],
  ];
  for (const [bytes, message] of cases) {
    await serving(await bytes, async ({ folder, asked, refusal }) => {
      assert.match(await refusal(INSECTS, "insects.zip"), message);
      assert.equal(await exists(join(folder, "insects.zip")), false);
      assert.match(await refusal(INSECTS, "insects.zip"), message);
      assert.deepEqual(asked, [null, null], "fetched twice, from the beginning");
    });
  }
});

Deno.test("makeFromArchive() takes more images where only the fewest are known, in folders of any name", async () => {
  const facts = { ...INSECTS, atLeast: true, valFolder: "test" };
  const files = Object.fromEntries(
    Object.entries({ ...PAIR, "insects/val/bees/6.jpg": "6" })
      .map(([name, content]) => [name.replace("/val/", "/test/"), content]),
  );
  await serving(await zipOf(files), async ({ make, refusal }) => {
    await make(facts, "insects.zip");
    assert.match(
      await refusal({ ...facts, val: 4 }, "insects.zip"),
      /its test\/ has 3 images, expected at least 4/,
    );
  });
});

Deno.test("ARCHIVES describes CIFAR-10 with the classes of its format", () => {
  assert.deepEqual(ARCHIVES.cifar10.classes, CIFAR_CLASSES);
  for (const { source, train, val, bytes } of Object.values(ARCHIVES)) {
    assert.match(source, /^https:\/\/.+\.(zip|tar\.gz)$/);
    assert.ok(train > val && val > 0 && bytes > 1e6);
  }
});
