import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../../src/base/errors.ts";
import { openTable } from "../../../src/data/datasets/shared_table.ts";
import { SampleTableBuilder } from "../../../src/data/datasets/sample_table.ts";
import { scanImages } from "../../../src/data/datasets/scan_images.ts";
import { checkManifest } from "../../../src/data/hosts/check_manifest.ts";
import { comparePathsAndSizes } from "../../../src/data/hosts/compare_files.ts";
import {
  makeManifest,
  type Manifest,
  packManifest,
  unpackManifest,
} from "../../../src/data/hosts/manifest.ts";
import { provideData } from "../../../src/data/hosts/provide_data.ts";
import { progressUntil } from "../../../src/provision/progress.ts";
import { makeCifar } from "../../support/cifar.ts";
import { copyFolder, HOST_DATA, manifestOf } from "../../support/host_data.ts";
import { makeImages } from "../../support/images.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const HOST = "Host 1 (b)";
const ODD = ["train/dark/ö ü%2e#\n'\"\\.jpg", "val/light/..a.jpg", "train/light/深/日本.JPG"];

/** A folder of images on the coordinator, and a copy of it on another host. */
function withCopies(use: (own: string, copy: string) => Promise<void>): Promise<void> {
  return withTemporaryFolder(async (folder) => {
    const own = join(folder, "own"), copy = join(folder, "copy");
    await makeImages(own, { classes: ["dark", "light"], train: 3, val: 1, side: 8 });
    await copyFolder(own, copy);
    await use(own, copy);
  });
}

async function problemOf(manifest: Manifest, root: string): Promise<string> {
  const thrown = await checkManifest(manifest, root, HOST).catch((error) => error);
  assert.ok(thrown instanceof UsageError, String(thrown));
  return thrown.message;
}

Deno.test("checkManifest() accepts a copy at another path, and a folder that both hosts share", () =>
  withCopies(async (own, copy) => {
    for (const path of ODD.filter((path) => !path.includes("/..a"))) {
      for (const root of [own, copy]) {
        await Deno.mkdir(join(root, path, ".."), { recursive: true });
        await Deno.writeTextFile(`${root}/${path}`, path);
      }
    }
    for (const verify of ["sizes", "hashes"] as const) {
      const manifest = await manifestOf(own, { verify });
      assert.equal(manifest.table.length, 10);
      assert.deepEqual(await checkManifest(manifest, copy, HOST), { isShared: false });
      assert.deepEqual(await checkManifest(manifest, own, HOST), { isShared: true });
      await Deno.symlink(own, `${own}-${verify}`);
      assert.deepEqual(await checkManifest(manifest, `${own}-${verify}`, HOST), { isShared: true });
    }
    const split = await manifestOf(join(own, "train"), { valFraction: 0.4 });
    assert.deepEqual(split.sides, [""]);
    assert.deepEqual(await checkManifest(split, join(copy, "train"), HOST), { isShared: false });
  }));

Deno.test("checkManifest() names the first differing files of each kind, the counts and the cure", () =>
  withCopies(async (own, copy) => {
    const manifest = await manifestOf(own, { verify: "hashes" });
    await Deno.remove(join(copy, "train/dark/1.jpg"));
    await Deno.remove(join(copy, "val/light"), { recursive: true });
    await Deno.mkdir(join(copy, "train/new"));
    await Deno.writeTextFile(join(copy, "train/new/x.jpg"), "x");
    await Deno.writeTextFile(join(copy, "train/light/0.jpg"), "short");
    const changed = await Deno.readFile(join(copy, "train/light/2.jpg"));
    changed[changed.length - 5]! ^= 1;
    await Deno.writeFile(join(copy, "train/light/2.jpg"), changed);
    const size = manifest.table.bytes(3), mine = manifest.totalBytes;
    const expected = new RegExp(
      String
        .raw`^Host 1 \(b\) has other files in ".*/copy" than the coordinator \(a\) in ".*/own": ` +
        String
          .raw`2 files are missing: "train/dark/1.jpg", "val/light/0.jpg"; 1 file is additional: ` +
        String
          .raw`"train/new/x.jpg"; 1 file has another size: "train/light/0.jpg" \(5 bytes instead of ${size} ` +
        String
          .raw`bytes\); 1 file has other content: "train/light/2.jpg"\. It has 7 files \(.*\), the coordinator 8 ` +
        String.raw`files \(${
          (mine / 1000).toFixed(1)
        } kB\): copy them again with rsync -a --checksum --delete ` +
        String
          .raw`a:.*/own/ .*/copy/, name another folder with --data, such as one that the hosts share, or set ` +
        String.raw`data.hosts to fetch$`,
    );
    assert.match(await problemOf(manifest, copy), expected);
    const sizes = await problemOf(await manifestOf(own), copy);
    assert.ok(!sizes.includes("other content"), sizes);
    assert.match(
      await problemOf(manifest, join(copy, "nowhere")),
      /^Host 1 \(b\) has no folder ".*nowhere" with the 8 files \(.*\) of the coordinator \(a\): copy them with rsync/,
    );
    // A folder that isn't there at all: each of its files is missing, and no more.
    await Deno.remove(join(copy, "val"), { recursive: true });
    assert.match(await problemOf(manifest, copy), /3 files are missing: /);
  }));

Deno.test("checkManifest() says that names differ in their Unicode form, and what can't be read, with the host's name", () =>
  withCopies(async (own, copy) => {
    await Deno.writeTextFile(join(own, "train/dark/caf\u00e9.jpg"), "1");
    await Deno.writeTextFile(join(copy, "train/dark/cafe\u0301.jpg"), "1");
    const manifest = await manifestOf(own);
    assert.match(
      await problemOf(manifest, copy),
      /1 name differs in the Unicode form alone, as macOS's do.*\(from macOS with --iconv=utf-8-mac,utf-8/,
    );
    await Deno.symlink(join(copy, "train"), join(copy, "train/dark/circle"));
    assert.match(
      await problemOf(manifest, copy),
      /^Host 1 \(b\): Folder ".*circle.*" is a link to/,
    );
  }));

Deno.test("makeManifest() lists the files of CIFAR-10, and refuses to serve a data module", () =>
  withTemporaryFolder(async (folder) => {
    const { root } = await makeCifar(folder, { perBatch: 3 });
    const manifest = await manifestOf(root, { format: "cifar10", verify: "hashes" });
    assert.equal(manifest.kind, "files");
    assert.equal(manifest.table.length, 7);
    await copyFolder(root, `${folder}/copy`);
    assert.deepEqual(await checkManifest(manifest, `${folder}/copy`, HOST), { isShared: false });
    const path = `${folder}/copy/data_batch_3.bin`;
    const bytes = await Deno.readFile(path);
    bytes[3000]! ^= 1;
    await Deno.writeFile(path, bytes);
    assert.match(
      await problemOf(manifest, `${folder}/copy`),
      /1 file has other content: "data_batch_3.bin"\. It has 7 files/,
    );
    const { files: _, ...others } = await scanImages(root, { format: "cifar10" });
    const { recipe: __, ...source } = others.source;
    const module = { ...others, source: { ...source, read: () => Promise.reject() } };
    const made = { ...module, root: "file:///x/data.ts" } as unknown as typeof others;
    const options = { data: { ...HOST_DATA, hosts: "fetch" as const }, hostname: "a" };
    await assert.rejects(makeManifest(made, options), {
      name: "UsageError",
      message:
        /^data.hosts is fetch, but the samples of data.module \(file:\/\/\/x\/data.ts\) are no files/,
    });
    const none = await makeManifest(made, { ...options, data: HOST_DATA });
    assert.equal(none.kind, "module");
    assert.deepEqual(await checkManifest(none, "file:///x/data.ts", HOST), { isShared: false });
  }));

Deno.test("provideData() gives workers the coordinator's list with this host's folder", () =>
  withCopies(async (own, copy) => {
    const manifest = await manifestOf(own);
    const data = { ...HOST_DATA, root: own, dataset: null, module: null };
    const options = { data, hostName: HOST, progress: progressUntil(undefined, () => {}) };
    {
      using provided = await provideData(manifest, { ...options, folder: copy });
      assert.equal(provided.jobHere.root, copy);
      assert.match(
        provided.note,
        /^Images: ".*copy", the same 8 files as the coordinator's by path and size$/,
      );
      if (Deno.build.os === "linux") {
        const table = openTable(provided.jobHere.samples!);
        const { fingerprint } = await scanImages(own);
        assert.equal(table.head.fingerprint, fingerprint);
      }
    }
    using provided = await provideData(manifest, options);
    assert.match(provided.note, /^Images: ".*own", the coordinator's own folder$/);
    await assert.rejects(
      provideData(manifest, {
        ...options,
        data: { ...data, root: null, module: "file:///m.ts" },
        folder: "/x",
      }),
      { name: "UsageError", message: /^Host 1 \(b\) was given the folder "\/x" by --data, but/ },
    );
  }));

Deno.test("unpackManifest() refuses damaged bytes and other versions in one sentence", () =>
  withCopies(async (own) => {
    const manifest = await manifestOf(own);
    const packed = await packManifest(manifest);
    const damaged = packed.slice();
    damaged[packed.length >> 1]! ^= 255;
    const other = await packManifest({ ...manifest, version: 2 as 1 });
    const short = await packManifest({ ...manifest, hasHashes: true });
    for (const bytes of [damaged, packed.subarray(0, 50), new Uint8Array(), other, short]) {
      await assert.rejects(unpackManifest(bytes), {
        name: "LockstepError",
        message: /^The list of the data set's files that the coordinator sent can't be read/,
      });
    }
  }));

Deno.test("a manifest of 100,000 files takes about 13 bytes and microseconds for each", async () => {
  const table = bigTable(100_000);
  const manifest: Manifest = {
    ...{ version: 1, kind: "images", root: "/data", hostname: "a", origin: "", content: "" },
    ...{ sides: ["train", "val"], totalBytes: 1, hasHashes: false, witnesses: [], table },
    ...{ tableBytes: table.memory.length, hashes: new Uint8Array() },
  };
  const start = performance.now();
  const packed = await packManifest(manifest);
  const packedAt = performance.now();
  const back = await unpackManifest(packed);
  const unpackedAt = performance.now();
  const { differences, isSame } = comparePathsAndSizes(back.table, bigTable(100_001, "train"));
  const end = performance.now();
  console.log(
    `100,000 files: ${packed.length} bytes; packed in ${
      Math.round(packedAt - start)
    } ms, unpacked in ${Math.round(unpackedAt - packedAt)} ms, compared in ${
      Math.round(end - unpackedAt)
    } ms`,
  );
  assert.ok(packed.length < 15 * 100_000, `${packed.length} bytes`);
  assert.ok(
    end - start < 60_000,
    "about a second; minutes, if it grew with the square of the files",
  );
  assert.ok(isSame.every((same) => same === 1));
  assert.equal(differences.additional.count, 1);
});

/** Names as ImageNet's, sizes at random. */
function bigTable(count: number, side: "train" | "both" = "both") {
  const builder = new SampleTableBuilder();
  let state = 1;
  for (let at = 0; at < count; at++) {
    state = (state * 48_271) % 2_147_483_647;
    const label = Math.floor(at / 100) % 1000;
    const row = builder.add(
      `train/n${10_000_000 + label}`,
      `n${10_000_000 + label}_${at}.JPEG`,
      label,
    );
    builder.setFile(row, 50_000 + state % 150_000, 0);
  }
  const classes = Array.from({ length: 1000 }, (_, label) => `n${10_000_000 + label}`);
  return builder.finish({ classes, train: side === "train" ? count : count - 1000 });
}
