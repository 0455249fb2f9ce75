import "../support/end_with_runner.ts";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { zeroOtherKernels } from "../../scripts/gpu_pack/machine_code.ts";
import { readPackOptions } from "../../scripts/gpu_pack/main.ts";
import { bestCompressor, packFolder, type Piece } from "../../scripts/gpu_pack/pieces.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const [PTX, CODE, OTHER] = [1, 2, 8];

/** A container of kernels; each entry's payload is its number, repeated. */
function container(entries: readonly [kind: number, architecture: number][]): Uint8Array {
  const [headerBytes, entryBytes, payloadBytes] = [16, 64, 24];
  const total = entries.length * (entryBytes + payloadBytes);
  const bytes = new Uint8Array(headerBytes + total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xba55ed50, true);
  view.setUint16(4, 1, true);
  view.setUint16(6, headerBytes, true);
  view.setBigUint64(8, BigInt(total), true);
  entries.forEach(([kind, architecture], index) => {
    const at = headerBytes + index * (entryBytes + payloadBytes);
    view.setUint16(at, kind, true);
    view.setUint32(at + 4, entryBytes, true);
    view.setBigUint64(at + 8, BigInt(payloadBytes), true);
    view.setUint32(at + 28, architecture, true);
    bytes.fill(index + 1, at + entryBytes, at + entryBytes + payloadBytes);
  });
  return bytes;
}

/** Numbers of the entries of a container of {@linkcode container} that were not zeroed. */
function keptIn(bytes: Uint8Array): number[] {
  const kept: number[] = [];
  for (let at = 16 + 64; at < bytes.length; at += 64 + 24) {
    const payload = bytes.subarray(at, at + 24);
    assert.ok(
      payload.every((byte) => byte === payload[0]),
      "a payload is kept or zeroed as a whole",
    );
    if (payload[0] !== 0) kept.push(payload[0]);
  }
  return kept;
}

Deno.test("zeroOtherKernels() keeps what the driver takes for a GPU", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "library.so");
    const entries: [number, number][] = [
      [CODE, 70],
      [CODE, 80],
      [CODE, 86],
      [CODE, 89],
      [CODE, 90],
      [PTX, 80],
      [PTX, 90],
      [OTHER, 50],
    ];
    for (
      const [architectures, kept] of [
        [[90], [5, 8]],
        [[86], [3, 8]], // not 8.9, which is newer, nor 8.0, which is older than its own
        [[89], [4, 8]],
        [[87], [3, 8]],
        [[75], [1, 8]],
        [[60], [8]],
        [[120], [7, 8]], // nothing for its major version: the newest PTX
        [[80, 90], [2, 5, 8]],
        [[], []],
      ]
    ) {
      await Deno.writeFile(path, container(entries));
      const result = await zeroOtherKernels(path, architectures);
      assert.deepEqual(keptIn(await Deno.readFile(path)), kept, `${architectures}`);
      assert.equal(result.kept, 24 * kept.length);
      assert.equal(result.kept + result.zeroed, 24 * entries.length);
    }
  });
});

Deno.test("zeroOtherKernels() changes nothing but kernels, wherever containers lie", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = join(folder, "library.so");
    const one = container([[CODE, 80], [CODE, 90]]);
    const broken = container([[CODE, 80]]);
    new DataView(broken.buffer).setBigUint64(8, 2n ** 40n, true); // longer than the file
    const magic = Uint8Array.of(0x50, 0xed, 0x55, 0xba);
    // Containers behind one another, across the borders of what is read at a time, and bytes that only look like one.
    const gap = new Uint8Array(4094).fill(7);
    const parts = [
      gap,
      one,
      one,
      magic,
      new Uint8Array(16 * 2 ** 20 + 5).fill(9),
      broken,
      one,
      magic,
    ];
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    const places: number[] = [];
    for (const part of parts) {
      bytes.set(part, at);
      if (part === one) places.push(at);
      at += part.length;
    }
    await Deno.writeFile(path, bytes);
    assert.deepEqual(await zeroOtherKernels(path, [90]), { kept: 72, zeroed: 72 });
    const changed = await Deno.readFile(path);
    for (const place of places) {
      assert.deepEqual(keptIn(changed.subarray(place, place + one.length)), [2]);
      changed.set(one, place);
    }
    assert.ok(
      changed.every((byte, index) => byte === bytes[index]),
      "all other bytes are the same",
    );
  });
});

Deno.test("packs are split, checked, joined and unpacked", async () => {
  await withTemporaryFolder(async (folder) => {
    const [content, out, target] = ["content", "out", "target"].map((name) => join(folder, name));
    await Deno.mkdir(join(content, "bin"), { recursive: true });
    await Deno.mkdir(out);
    const random = crypto.getRandomValues(new Uint8Array(40_000));
    await Deno.writeFile(join(content, "random"), random);
    await Deno.writeTextFile(join(content, "bin/deno"), "#!/bin/sh\necho packed\n", {
      mode: 0o755,
    });
    await Deno.symlink(join(content, "random"), join(content, "linked"));
    const shown: Piece[] = [];
    const pieces = await packFolder(content, {
      out,
      pieceBytes: 10_000,
      compressor: await bestCompressor(),
      facts: { sm: "90" },
      onPiece: (piece) => shown.push(piece),
    });
    assert.deepEqual(shown, pieces);
    assert.ok(pieces.length >= 5);
    for (const [index, { name, bytes, sha256 }] of pieces.entries()) {
      const written = await Deno.readFile(join(out, name));
      assert.equal(written.length, bytes);
      assert.ok(index === pieces.length - 1 ? bytes <= 10_000 : bytes === 10_000);
      assert.equal(createHash("sha256").update(written).digest("hex"), sha256);
    }
    const manifest = await Deno.readTextFile(join(out, "manifest.txt"));
    assert.match(
      manifest,
      /^lockstep-gpu-pack 1\ncompressor \w+\nsm 90\npiece piece\.000 10000 [0-9a-f]{64}\n/,
    );

    const unpack = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: [join(out, "unpack.sh"), ...args],
        stdin: "null",
      }).output();
      const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      return { code, text, errors };
    };
    const good = await unpack(target);
    assert.equal(good.code, 0, good.errors);
    assert.match(good.text, /now run: .*target\/lockstep\/scripts\/gpu_smoke\.sh\n$/);
    assert.deepEqual(await Deno.readFile(join(target, "random")), random);
    assert.deepEqual(await Deno.readFile(join(target, "linked")), random, "links are followed");
    assert.ok((await Deno.lstat(join(target, "linked"))).isFile);
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", `. "$0"/gpu_pack_env.sh; deno; echo "$DENO_DIR $LOCKSTEP_CACHE"`, target],
      env: { LOCKSTEP_CACHE: "" },
    }).output();
    assert.equal(
      new TextDecoder().decode(stdout),
      `packed\n${target}/deno_dir ${target}/cache\n`,
    );

    const refused = async (message: RegExp) => {
      const other = join(folder, "other");
      const { code, errors } = await unpack(other);
      assert.equal(code, 1);
      assert.match(errors, message);
      await assert.rejects(Deno.lstat(other), Deno.errors.NotFound, "nothing is unpacked");
    };
    assert.match((await unpack(target)).errors, /isn't empty: remove it, or name another folder/);
    const second = join(out, pieces[1].name);
    const bytes = await Deno.readFile(second);
    bytes[5000] ^= 1;
    await Deno.writeFile(second, bytes);
    await refused(/^error: Damaged pieces: piece\.001; copy them/);
    await Deno.truncate(second, 9_999);
    await refused(/^error: Damaged pieces: piece\.001; copy them/);
    await Deno.remove(second);
    await Deno.remove(join(out, pieces[3].name));
    await refused(/^error: Missing pieces: piece\.001 piece\.003; copy them/);
    await Deno.writeTextFile(join(out, "manifest.txt"), "lockstep-gpu-pack 9\n");
    await refused(/is not a manifest of this version/);
    await Deno.remove(join(out, "manifest.txt"));
    await refused(/There is no manifest\.txt beside unpack\.sh/);
  });
});

Deno.test("packFolder() fails when tar does", async () => {
  await withTemporaryFolder(async (folder) => {
    const packing = packFolder(join(folder, "missing"), {
      out: folder,
      pieceBytes: 1000,
      compressor: await bestCompressor(),
      facts: {},
    });
    await assert.rejects(packing, /^Error: tar and \w+ ended with code 2$/);
    await assert.rejects(Deno.lstat(join(folder, "manifest.txt")), Deno.errors.NotFound);
  });
});

Deno.test("readPackOptions() refuses what it doesn't know", () => {
  const options = readPackOptions(["--sm", "80, 90", "--piece-size", "0.5"]);
  assert.ok(options !== "help");
  assert.deepEqual(options.architectures, [80, 90]);
  assert.equal(options.pieceBytes, 2 ** 19);
  for (
    const [args, message] of [
      [["--sn", "90"], /^Unknown argument --sn: known are --sm/],
      [["--sm", "9.0"], /^--sm is "9\.0": give compute capabilities without the dot/],
      [["--sm", "hopper"], /^--sm is "hopper"/],
      [["--piece-size", "0"], /^--piece-size is "0"/],
      [["--compressor", "rar"], /^--compressor is "rar": give one of xz, zstd, gzip/],
    ] as const
  ) assert.throws(() => readPackOptions(args), { message });
});
