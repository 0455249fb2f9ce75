import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { TextReader, Uint8ArrayWriter, ZipWriter } from "@zip.js/zip.js";
import type { TarEntry } from "modern-tar";
import { UsageError } from "../../src/base/errors.ts";
import { archiveKind, onlyFolder, unpackArchive } from "../../src/provision/archive.ts";
import type { ProgressEvent } from "../../src/provision/progress.ts";
import type { ArchiveLimits } from "../../src/provision/unpacked_folder.ts";
import { tarGzOf, tarOf, zipOf } from "../support/archives.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runScript } from "./run_provision.ts";

const NOISE = Uint8Array.from(
  { length: 2_500_000 },
  (_, index) => Math.imul(index, 2654435761) >>> 13,
);
const FILES = {
  "photos/": "",
  "photos/train/cat/a.jpg": "a cat",
  "photos/train/dog/größe 💙.jpg": "a dog",
  "photos/noise.bin": NOISE,
  "photos/empty.txt": "",
};
const silent = () => {};

/** Relative path → content of all files below a folder. */
async function filesIn(folder: string, prefix = ""): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {};
  for await (const { name, isDirectory } of Deno.readDir(join(folder, prefix))) {
    const path = `${prefix}${name}`;
    if (isDirectory) Object.assign(found, await filesIn(folder, `${path}/`));
    else found[path] = await Deno.readFile(join(folder, path));
  }
  return found;
}

/** Writes an archive, unpacks it, and returns the error's message. */
async function refusalOf(
  folder: string,
  bytes: Uint8Array,
  { name = "evil.tar.gz", limits }: { name?: string; limits?: Partial<ArchiveLimits> } = {},
): Promise<string> {
  const place = await Deno.makeTempDir({ dir: folder });
  const archive = join(place, name);
  await Deno.writeFile(archive, bytes);
  try {
    await unpackArchive(archive, join(place, "out"), silent, limits);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.ok(error.message.includes(archive), `names the archive: ${error.message}`);
    const beside = (await Array.fromAsync(Deno.readDir(place))).map(({ name }) => name)
      .filter((other) => other !== name && other !== "out");
    assert.deepEqual(beside, [], "nothing was written beside the target");
    return error.message;
  }
  assert.fail("the archive was accepted");
}

for (
  const [name, make] of Object.entries({
    "images.tar": tarOf,
    "images.tar.gz": tarGzOf,
    "images.zip": zipOf,
  })
) {
  Deno.test(`unpackArchive() unpacks ${name} with every byte, and tells how far it is`, () =>
    withTemporaryFolder(async (folder) => {
      const archive = join(folder, name);
      const bytes = await make(FILES);
      await Deno.writeFile(archive, bytes);
      const events: ProgressEvent[] = [];
      const target = join(folder, "out");
      await unpackArchive(archive, target, (event) => events.push(event));
      const found = await filesIn(target);
      assert.deepEqual(
        Object.keys(found).sort(),
        Object.keys(FILES).filter((path) => !path.endsWith("/")).sort(),
      );
      assert.deepEqual(found["photos/noise.bin"], NOISE);
      assert.equal(new TextDecoder().decode(found["photos/train/cat/a.jpg"]), "a cat");
      assert.deepEqual(events.at(-1), {
        what: `unpacking ${name}`,
        bytes: bytes.length,
        totalBytes: bytes.length,
      });
      assert.ok(events.slice(0, -1).every((event) => event.bytes! < bytes.length));
      assert.equal(await onlyFolder(target), join(target, "photos"));
    }));
}

Deno.test("unpackArchive() reads what the system's tar writes, in each of its formats", () =>
  withTemporaryFolder(async (folder) => {
    const long = `deep/${"x".repeat(90)}/${"y".repeat(120)}.jpg`;
    await Deno.mkdir(join(folder, "in", dirname(long)), { recursive: true });
    await Deno.writeTextFile(join(folder, "in", long), "far down");
    await Deno.writeTextFile(join(folder, "in", "near.jpg"), "near");
    for (const format of ["v7", "ustar", "gnu", "posix"]) {
      const archive = join(folder, `${format}.tgz`);
      const paths = format === "v7" || format === "ustar" ? ["near.jpg"] : ["."];
      const { success, stderr } = await new Deno.Command("tar", {
        args: ["-C", join(folder, "in"), `--format=${format}`, "-czf", archive, ...paths],
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      const target = join(folder, format);
      await unpackArchive(archive, target, silent);
      const found = await filesIn(target);
      assert.equal(new TextDecoder().decode(found["near.jpg"]), "near");
      if (paths[0] === ".") assert.equal(new TextDecoder().decode(found[long]), "far down");
    }
    await Deno.writeFile(join(folder, "plain.tar"), await tarOf({ a: "b" }));
    assert.equal(await archiveKind(join(folder, "plain.tar")), "tar");
    assert.equal(await archiveKind(join(folder, "v7.tgz")), "tar.gz");
  }));

const odd = (header: Partial<TarEntry["header"]>): TarEntry => ({
  header: { name: "odd", size: 0, ...header },
});
const HOSTILE: Record<string, { entry: TarEntry; message: RegExp }> = {
  "a way up": { entry: odd({ name: "../up" }), message: /"\.\.\/up" leads out of the folder/ },
  "a way up in the middle": {
    entry: odd({ name: "photos/../../up" }),
    message: /"photos\/\.\.\/\.\.\/up" leads out/,
  },
  "a way up with backslashes": {
    entry: odd({ name: "photos\\..\\..\\up" }),
    message: /up" leads out of the folder/,
  },
  "a folder above": {
    entry: odd({ name: "../up/", type: "directory" }),
    message: /"\.\.\/up\/" leads out/,
  },
  "an absolute path": {
    entry: odd({ name: "/tmp/lockstep-evil" }),
    message: /"\/tmp\/lockstep-evil" has an absolute path/,
  },
  "a network path": {
    entry: odd({ name: "\\\\host\\share" }),
    message: /"\\\\\\\\host\\\\share" has an absolute path/,
  },
  "a drive letter": { entry: odd({ name: "C:evil" }), message: /"C:evil" begins with a drive/ },
  "a symbolic link": {
    entry: odd({ type: "symlink", linkname: "/etc" }),
    message: /"odd" is a symbolic link, and only plain files/,
  },
  "a hard link": {
    entry: odd({ type: "link", linkname: "/etc/passwd" }),
    message: /"odd" is a hard link/,
  },
  "a device": { entry: odd({ type: "character-device" }), message: /"odd" is a device/ },
  "a pipe": { entry: odd({ type: "fifo" }), message: /"odd" is a pipe/ },
  "a file twice": {
    entry: odd({ name: "photos//./empty.txt" }),
    message: /"photos\/\/\.\/empty\.txt" is in it twice/,
  },
  "a file below a file": {
    entry: odd({ name: "photos/empty.txt/below" }),
    message: /"photos\/empty\.txt\/below" is in it twice \(or as a file and as a folder\)/,
  },
  "a name that no disk takes": {
    entry: odd({ name: "z".repeat(5_000) }),
    message: /"z{200}…" can't be written: .*too long/,
  },
};

for (const [what, { entry, message }] of Object.entries(HOSTILE)) {
  Deno.test(`unpackArchive() refuses a tar with ${what}, naming archive and entry`, () =>
    withTemporaryFolder(async (folder) => {
      assert.match(await refusalOf(folder, await tarGzOf(FILES, [entry])), message);
      const plain = await tarOf(FILES, [entry]);
      assert.match(await refusalOf(folder, plain, { name: "evil.tar" }), message);
    }));
}

Deno.test("unpackArchive() refuses a zip with the same tricks, naming archive and entry", () =>
  withTemporaryFolder(async (folder) => {
    const cases: [string, object, RegExp][] = [
      ["../up", {}, /"\.\.\/up" leads out of the folder/],
      ["a/../../up", {}, /leads out of the folder/],
      ["..\\up", {}, /leads out of the folder/],
      ["/tmp/lockstep-evil", {}, /has an absolute path/],
      ["C:/evil", {}, /begins with a drive letter/],
      ["link", { unixMode: 0o120777 }, /"link" is a symbolic link/],
      ["socket", { unixMode: 0o140777 }, /"socket" is a device/],
      ["secret", { password: "1234" }, /"secret" is an encrypted file/],
      ["good", {}, /"good" is in it twice/],
    ];
    for (const [name, options, message] of cases) {
      const zip = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false });
      await zip.add("good", new TextReader("good"));
      const writer = name === "good" ? "g00d" : name;
      await zip.add(writer, new TextReader("evil"), options);
      let bytes = await zip.close();
      if (name === "good") { // zip.js makes no such archive: rename the second entry
        const text = Buffer.from(bytes).toString("latin1").replaceAll("g00d", "good");
        bytes = Uint8Array.from(Buffer.from(text, "latin1"));
      }
      assert.match(await refusalOf(folder, bytes, { name: "evil.zip" }), message);
    }
  }));

Deno.test("unpackArchive() leaves out what macOS adds to a zip", () =>
  withTemporaryFolder(async (folder) => {
    const archive = join(folder, "mac.zip");
    await Deno.writeFile(
      archive,
      await zipOf({ "photos/a.jpg": "a", "__MACOSX/photos/._a.jpg": "resource fork" }),
    );
    const target = join(folder, "out");
    await unpackArchive(archive, target, silent);
    assert.deepEqual(Object.keys(await filesIn(target)), ["photos/a.jpg"]);
  }));

Deno.test("unpackArchive() refuses archives that are cut short, wherever they are cut", () =>
  withTemporaryFolder(async (folder) => {
    for (
      const [name, make] of [["a.tar.gz", tarGzOf], ["a.tar", tarOf], ["a.zip", zipOf]] as const
    ) {
      const bytes = await make(FILES);
      for (const share of [0.01, 0.5, 0.9, 0.999]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        const message = await refusalOf(folder, cut, { name });
        assert.match(message, /is cut short or damaged \(|is no archive/);
      }
      if (name === "a.zip") continue;
      const last = await refusalOf(folder, bytes.subarray(0, bytes.length - 1), { name });
      assert.match(last, /is cut short or damaged \(.+\): fetch .* again$/);
    }
  }));

Deno.test("unpackArchive() refuses a changed byte of a zip and of a gzipped tar", () =>
  withTemporaryFolder(async (folder) => {
    for (const [name, make] of [["a.tar.gz", tarGzOf], ["a.zip", zipOf]] as const) {
      const bytes = (await make({ "photos/noise.bin": NOISE })).slice();
      bytes[Math.floor(bytes.length / 2)] ^= 1;
      assert.match(await refusalOf(folder, bytes, { name }), /is cut short or damaged \(/, name);
    }
    const wrongHeader = await tarOf({ "a.jpg": "a" });
    wrongHeader[0] ^= 1;
    assert.match(await refusalOf(folder, wrongHeader, { name: "a.tar" }), /checksum/);
  }));

Deno.test("unpackArchive() stops bombs at the limits, and says which", () =>
  withTemporaryFolder(async (folder) => {
    const zeros = new Uint8Array(3_000_000);
    const limits = { maxBytes: 1_000_000 };
    const tooMuch = /"zeros" makes it unpack to more than 1,000,000 bytes, .*by hand/;
    for (const [name, make] of [["b.tar.gz", tarGzOf], ["b.zip", zipOf]] as const) {
      const bytes = await make({ zeros });
      assert.ok(bytes.length < 20_000, "it is a bomb");
      assert.match(await refusalOf(folder, bytes, { name, limits }), tooMuch);
      const many = await make({ a: "1", b: "2", c: "3" });
      assert.match(
        await refusalOf(folder, many, { name, limits: { maxEntries: 2 } }),
        /"c" is one more than the 2 entries that are unpacked/,
      );
    }
    // By itself, an archive may unpack to 64 MiB or a hundred times its size.
    const bomb = await tarGzOf({ zeros: new Uint8Array(70 * 2 ** 20) });
    assert.match(await refusalOf(folder, bomb), /more than 67,108,864 bytes/);
    const endless = gzipSync(new Uint8Array(200 * 2 ** 20)); // a tar's end without an end
    const whole = new Uint8Array([...gzipSync(await tarOf({ a: "b" })), ...endless]);
    assert.match(await refusalOf(folder, whole), /inflates to more than 134217728 bytes/);
  }));

Deno.test("unpackArchive() counts what a zip unpacks to, not what it says", () =>
  withTemporaryFolder(async (folder) => {
    const bytes = (await zipOf({ zeros: new Uint8Array(3_000_000) })).slice();
    const view = new DataView(bytes.buffer);
    // Size fields: local header (or data descriptor) and central directory all say 10 bytes.
    let lies = 0;
    for (let at = 0; at + 4 <= bytes.length; at++) {
      if (view.getUint32(at, true) === 3_000_000) {
        view.setUint32(at, 10, true);
        lies++;
      }
    }
    assert.ok(lies > 0);
    const limits = { maxBytes: 1_000_000 };
    const message = await refusalOf(folder, bytes, { name: "liar.zip", limits });
    assert.match(message, /"zeros" (makes it unpack to more than|is cut short or damaged)/);
    for await (const { name } of Deno.readDir(folder)) {
      const { size } = await Deno.stat(join(folder, name, "out", "zeros"));
      assert.ok(size <= 1_000_000, `${size} bytes were written`);
    }
  }));

Deno.test("unpackArchive() refuses what is no archive, with its size", () =>
  withTemporaryFolder(async (folder) => {
    const page = new TextEncoder().encode("<!DOCTYPE html><title>Not found</title>");
    assert.match(
      await refusalOf(folder, page, { name: "page.zip" }),
      /page\.zip \(39 bytes\) is no archive: give a folder, or a \.tar\.gz/,
    );
    assert.match(await refusalOf(folder, new Uint8Array(), { name: "none.tar" }), /\(0 bytes\)/);
  }));

Deno.test("ensureUnpacked() keeps one copy per content, under its SHA-256", () =>
  withTemporaryFolder(async (folder) => {
    const cache = join(folder, "cache");
    const unpack = (path: string) =>
      runScript(
        cache,
        "provision/archive",
        `ensureUnpacked(${JSON.stringify(path)}, (event) => events.push(event))`,
      );
    const one = join(folder, "one.zip"), two = join(folder, "two.tar.gz");
    await Deno.writeFile(one, await zipOf({ "photos/a.jpg": "a" }));
    const first = await unpack(one);
    assert.match(first.path!, /\/archives\/[0-9a-f]{64}\/photos$/);
    assert.ok(first.events.length > 0);
    await Deno.copyFile(one, two);
    const again = await unpack(two);
    assert.equal(again.path, first.path);
    assert.deepEqual(again.events, [], "nothing was unpacked");
    await Deno.writeFile(one, await zipOf({ "a.jpg": "b", "b.jpg": "c" }));
    const other = await unpack(one);
    assert.notEqual(other.path, first.path);
    assert.equal(await Deno.readTextFile(join(other.path!, "a.jpg")), "b");
    await Deno.writeFile(one, await tarGzOf({ "a.jpg": "d" }, [odd({ name: "../up" })]));
    assert.match((await unpack(one)).message!, /leads out of the folder/);
    const left = (await Array.fromAsync(Deno.readDir(join(cache, "archives"))))
      .filter(({ isDirectory }) => isDirectory);
    assert.equal(left.length, 2, "nothing half made");
  }));
