import assert from "node:assert/strict";
import { join } from "node:path";
import { LockstepError, UsageError } from "../../../src/base/errors.ts";
import { scanImages } from "../../../src/data/datasets/scan_images.ts";
import { SampleTableBuilder } from "../../../src/data/datasets/sample_table.ts";
import { fetchFiles, type FetchOptions } from "../../../src/data/hosts/fetch_files.ts";
import { requireSafePaths } from "../../../src/data/hosts/fetched_files.ts";
import { type FileServer, serveFiles } from "../../../src/data/hosts/file_server.ts";
import type { FileSource } from "../../../src/data/hosts/file_source.ts";
import type { HostDataConfig, Manifest } from "../../../src/data/hosts/manifest.ts";
import { makeCertificate } from "../../../src/hosts/own_certificate.ts";
import { OWN_CERTIFICATE_NAME } from "../../../src/protocol/fingerprint.ts";
import { type ProgressEvent, progressUntil } from "../../../src/provision/progress.ts";
import { startBreakingRelay } from "../../support/breaking_relay.ts";
import { makeCifar } from "../../support/cifar.ts";
import { manifestOf } from "../../support/host_data.ts";
import { eventually } from "../../support/eventually.ts";
import { makeImages } from "../../support/images.ts";
import { mountSmallDisk } from "../../support/small_disk.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

const HOST = "Host 1 (b)", LOOPBACK = "127.0.0.1";
const ODD = [
  "train/dark/ö ü%2e#\n'\"\\?.jpg",
  "val/light/a..jpg",
  "train/light/深/日本.JPG",
  "val/dark/0.jpg.jpg",
];

/** The coordinator's side of a test. */
interface Coordinator {
  readonly root: string;
  readonly cache: string;
  readonly server: FileServer;
  readonly manifest: Manifest;
  readonly source: FileSource;
  /** Fetches into the cache. */
  fetch(
    options?: Partial<FetchOptions> & { source?: FileSource; signal?: AbortSignal },
  ): ReturnType<typeof fetchFiles>;
}

/** Serves the images in `root` while `use` runs. */
async function serving(
  { root, cache }: { root: string; cache: string },
  data: Partial<HostDataConfig> & { format?: "cifar10" },
  use: (coordinator: Coordinator) => Promise<void>,
): Promise<void> {
  const manifest = await manifestOf(root, { hosts: "fetch", ...data });
  await using server = serveFiles(manifest, {
    ...{ root, runKey: "the run's key", listen: { hostname: LOOPBACK } },
  });
  const source = server.source([LOOPBACK]);
  const fetch: Coordinator["fetch"] = ({ source: other = source, signal, ...options } = {}) =>
    fetchFiles(manifest, other, {
      ...{ limit: 1e9, hostName: HOST, folder: cache, retryMs: 10 },
      ...{ progress: progressUntil(signal, () => {}), ...options },
    });
  await use({ root, cache, server, manifest, source, fetch });
}

/** Serves a folder of real JPEGs, some of them with odd names. */
function withImages(
  use: (coordinator: Coordinator) => Promise<void>,
  data: Partial<HostDataConfig> = {},
): Promise<void> {
  return withTemporaryFolder(async (folder) => {
    const root = join(folder, "images"), cache = join(folder, "cache");
    await makeImages(root, { classes: ["dark", "light"], train: 6, val: 2, side: 24 });
    for (const path of ODD) {
      await Deno.mkdir(join(root, path, ".."), { recursive: true });
      await Deno.copyFile(join(root, "train/dark/0.jpg"), `${root}/${path}`);
    }
    // Links are followed, also those that lead out of the folder: the other host gets files.
    await Deno.mkdir(join(folder, "elsewhere"));
    await Deno.copyFile(join(root, "train/dark/0.jpg"), join(folder, "elsewhere/linked.jpg"));
    await Deno.symlink(join(folder, "elsewhere/linked.jpg"), join(root, "val/dark/link.jpg"));
    await Deno.symlink("../../../elsewhere", join(root, "train/light/folder"));
    await serving({ root, cache }, data, use);
  });
}

function via(source: FileSource, port: number): FileSource {
  return { ...source, urls: [`http://${LOOPBACK}:${port}`] };
}

async function assertSame(manifest: Manifest, own: string, fetched: string): Promise<void> {
  for (const { path } of manifest.table) {
    assert.deepEqual(
      await Deno.readFile(`${fetched}/${path}`),
      await Deno.readFile(`${own}/${path}`),
      path,
    );
  }
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  const thrown = await work.then(() => undefined, (error) => error);
  assert.ok(thrown instanceof LockstepError, String(thrown));
  return thrown.message;
}

Deno.test("fetchFiles() brings all files with odd names, shows progress, and finds them again", () =>
  withImages(async ({ root, manifest, fetch, server, cache }) => {
    const events: ProgressEvent[] = [];
    const progress = progressUntil(undefined, (event) => events.push(event));
    {
      using fetched = await fetch({ progress });
      assert.equal(fetched.fetchedBytes, manifest.totalBytes);
      await assertSame(manifest, root, fetched.root);
      const last = {
        what: "Images of a",
        bytes: manifest.totalBytes,
        totalBytes: manifest.totalBytes,
      };
      assert.deepEqual(events.at(-1), last);
      // The images there are those of the run: any data set made of files works from the folder.
      assert.equal((await scanImages(fetched.root)).fingerprint, manifest.table.head.fingerprint);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(join(fetched.root, "../parts"))), []);
    }
    const sent = server.sentBytes;
    using again = await fetch();
    assert.equal(again.fetchedBytes + server.sentBytes, sent);
    // A file that somebody has removed or cut short comes again; other content of this size only with hashes.
    await Deno.remove(join(again.root, "train/dark/1.jpg"));
    await Deno.truncate(join(again.root, "val/light/0.jpg"), 10);
    using mended = await fetch();
    await assertSame(manifest, root, mended.root);
    assert.equal(mended.root, again.root);
    assert.ok(mended.root.startsWith(cache));
  }));

Deno.test("fetchFiles() with data.verify: hashes mends content that was changed in the cache", () =>
  withImages(async ({ root, manifest, fetch }) => {
    let path: string;
    {
      using fetched = await fetch();
      path = join(fetched.root, "train/dark/3.jpg");
    }
    const bytes = await Deno.readFile(path);
    bytes[40]! ^= 255;
    await Deno.writeFile(path, bytes);
    using mended = await fetch();
    assert.equal(mended.fetchedBytes, bytes.length);
    await assertSame(manifest, root, mended.root);
  }, { verify: "hashes" }));

Deno.test("fetchFiles() goes on from the byte at which a connection broke, in the same run and in the next", () =>
  withTemporaryFolder(async (folder) => {
    const cache = join(folder, "cache");
    const { root } = await makeCifar(folder, { perBatch: 200 });
    const all = { root, cache };
    await serving(all, { format: "cifar10" }, async ({ manifest, fetch, source, server }) => {
      assert.equal(manifest.totalBytes > 3_000_000, true);
      // The first connections break after 100 kB to 500 kB each, in the middle of files.
      await using relay = startBreakingRelay(server.port, (number) => 100_000 * (1 + number % 5));
      const short = startBreakingRelay(server.port, (number) => number === 0 ? 400_000 : 0);
      {
        await using _short = short;
        const message = await messageOf(fetch({ source: via(source, short.port), attempts: 3 }));
        assert.match(
          message,
          /^Host 1 \(b\) can't fetch the images from the coordinator \(a\) at http:.*: .*; \d+ kB of 3.7 MB are here, and the next run goes on from there$/,
        );
      }
      using fetched = await fetch({ source: via(source, relay.port) });
      await assertSame(manifest, root, fetched.root);
      // Nothing that had come was asked for again. What was on its way when a connection broke was lost.
      assert.ok(fetched.fetchedBytes < manifest.totalBytes - 100_000, `${fetched.fetchedBytes}`);
      assert.ok(relay.passed.length > 8, `${relay.passed.length} connections`);
      assert.ok(relay.passed.reduce((sum, bytes) => sum + bytes) < 1.2 * manifest.totalBytes);
    });
  }));

Deno.test("fetchFiles() goes on where an agent was killed, whose locks are free at once", () =>
  withTemporaryFolder(async (folder) => {
    const cache = join(folder, "cache");
    const { root } = await makeCifar(folder, { perBatch: 400 });
    await serving(
      { root, cache },
      { format: "cifar10" },
      async ({ manifest, fetch, source, server }) => {
        await using relay = startBreakingRelay(server.port, () => 900_000, "stall");
        const program = new URL("../../support/fetch_program.ts", import.meta.url).pathname;
        const args = [root, JSON.stringify(via(source, relay.port)), cache];
        const child = new Deno.Command(Deno.execPath(), {
          args: ["run", "-q", "-A", "--no-check", program, ...args],
          ...{ stdin: "null", stdout: "null", stderr: "null" },
        }).spawn();
        const passed = () => relay.passed.reduce((sum, bytes) => sum + bytes, 0);
        await eventually(() => assert.ok(passed() >= 900_000));
        await new Promise((done) => setTimeout(done, 2_000)); // until it is written
        child.kill("SIGKILL");
        await child.status;
        using fetched = await fetch();
        await assertSame(manifest, root, fetched.root);
        assert.ok(fetched.fetchedBytes < manifest.totalBytes - 500_000, `${fetched.fetchedBytes}`);
      },
    );
  }));

Deno.test("fetchFiles() fetches nothing onto a disk without room", () =>
  withImages(async ({ root, fetch, server }) => {
    await using disk = await mountSmallDisk(join(root, ".."), 4);
    if (!disk) return;
    assert.match(
      await messageOf(fetch({ folder: join(disk.folder, "fetched") })),
      /^Host 1 \(b\) can't fetch .* of images: 0 B are free for them at .*small-disk.*; make room, or set LOCKSTEP_CACHE/,
    );
    assert.equal(server.sentBytes, 0);
  }));

Deno.test("fetchFiles() ends with an error when the server stalls, is gone, or dies in the middle", () =>
  withImages(async ({ fetch, server, source, manifest }) => {
    const limits = { silenceMs: 150, attempts: 2 };
    {
      await using relay = startBreakingRelay(
        server.port,
        (number) => number === 0 ? 3_000 : 0,
        "stall",
      );
      assert.match(
        await messageOf(fetch({ source: via(source, relay.port), ...limits, connections: 1 })),
        /it sent nothing for 0.15 s; .* are here, and the next run goes on from there$/,
      );
    }
    await using mute = startBreakingRelay(server.port, () => 0, "stall");
    // Of several addresses, the one that answers is used.
    const several = [...via(source, mute.port).urls, "http://127.0.0.1:1", ...source.urls];
    using fetched = await fetch({ source: { ...source, urls: several } });
    assert.ok(fetched.fetchedBytes > 0);
    await Deno.remove(join(fetched.root, "train/dark/2.jpg"));
    await server[Symbol.asyncDispose]();
    assert.match(
      await messageOf(fetch(limits)),
      /can't fetch the images from the coordinator \(a\) at http:\/\/127.0.0.1:\d+: .*refused/,
    );
    const stop = new AbortController();
    const waiting = fetch({ attempts: 100, retryMs: 10_000, signal: stop.signal });
    setTimeout(() => stop.abort(new Error("the run is over")), 100);
    await assert.rejects(waiting, { message: "the run is over" });
    assert.equal(manifest.kind, "images");
  }));

Deno.test("serveFiles() refuses files that have changed, other tokens, and whatever isn't in the list", () =>
  withImages(async ({ root, fetch, source, manifest }) => {
    const [url] = source.urls;
    const ask = async (path: string, init: RequestInit = {}, token = source.token) => {
      const headers = { authorization: `Bearer ${token}` };
      const response = await globalThis.fetch(url + path, { headers, ...init });
      return `${response.status} ${await response.text()}`;
    };
    const files = (request: unknown) =>
      ask("/files", { method: "POST", body: JSON.stringify(request) });
    const { content } = manifest;
    assert.equal(await ask("/hello"), `200 ${content}`);
    assert.equal(await ask("/hello", {}, "guessed"), "401 another token");
    for (
      const path of ["/", "/train/dark/0.jpg", "/..%2f..%2fetc/passwd", "/files/../../etc/passwd"]
    ) {
      assert.equal(await ask(path), "404 nothing has this path");
    }
    assert.equal(await ask("/files"), "405 files are asked for by POST");
    assert.equal(await files({ content, rows: [99], from: 0 }), "400 there is no such file");
    assert.equal(await files({ content: "x", rows: [0], from: 0 }), "409 another list of files");
    const wrong = [{}, { content, rows: ["../x"], from: 0 }, { content, rows: [-1], from: 0 }];
    const long = { content, rows: Array(1025).fill(0), from: 0 };
    for (const request of [...wrong, { content, rows: [0.5], from: 0 }, long]) {
      assert.equal(await files(request), "400 it is no request for files");
    }
    assert.equal(
      await files({ content, rows: [0], from: 0, filler: "x".repeat(70_000) }),
      "400 the request is too long",
    );
    assert.match(
      await messageOf(fetch({ source: { ...source, token: "guessed" } })),
      /^Host 1 \(b\) can't fetch the images: the coordinator's file server refuses: http.* answered 401/,
    );
    // Changed since the run began: by size, by time alone, gone, and no file any more.
    const path = join(root, "train/light/4.jpg");
    const bytes = await Deno.readFile(path);
    const again = async () => {
      await Deno.writeFile(path, bytes);
      await Deno.utime(path, 1, 1);
    };
    const changes: [() => Promise<void>, RegExp][] = [
      [
        () => Deno.writeTextFile(path, "other"),
        /it has changed since the run began: 5 bytes instead of \d+;/,
      ],
      [
        again,
        /it has changed since the run began: at 1970-01-01T00:00:01.000Z; leave the data set alone/,
      ],
      [() => Deno.remove(path), /it can't be read: there is no such file or folder;/],
      [() => Deno.mkdir(path), /it can't be read: it is a folder, where a file belongs;/],
    ];
    for (const [change, expected] of changes) {
      await change();
      const message = await messageOf(fetch());
      assert.match(
        message,
        /^Host 1 \(b\) can't fetch "train\/light\/4.jpg" from the coordinator \(a\): /,
      );
      assert.match(message, expected);
    }
    assert.throws(
      () => serveFiles(manifest, { root, runKey: "k", listen: { hostname: "0.0.0.0" } }),
      {
        name: "UsageError",
        message: /^The data set's files can't be served on 0.0.0.0 without TLS/,
      },
    );
  }));

Deno.test("fetchFiles() shares a cache between agents, and keeps it within data.hostCacheBytes", () =>
  withImages(async ({ root, cache, fetch, manifest, server }) => {
    // Two agents of one machine at the same time: one fetches, the other finds the files.
    const [one, other] = await Promise.all([fetch(), fetch()]);
    assert.equal(one.root, other.root);
    assert.equal(one.fetchedBytes + other.fetchedBytes, manifest.totalBytes);
    one[Symbol.dispose]();
    const { totalBytes } = manifest;
    assert.match(
      await messageOf(fetch({ limit: totalBytes - 1 })),
      /^Host 1 \(b\) can't fetch .* of images: data.hostCacheBytes is .*; raise it, or give the host a copy/,
    );
    // Another data set finds no room while this one is in use, and takes its place afterwards.
    const limit = totalBytes + 1000;
    const folders = async () =>
      (await Array.fromAsync(Deno.readDir(cache))).filter(({ isDirectory }) => isDirectory).length;
    await withTemporaryFolder(async (second) => {
      await makeImages(second, { classes: ["dark", "light"], train: 2, val: 1, side: 12 });
      await serving({ root: second, cache }, {}, async ({ fetch, manifest, root }) => {
        assert.match(
          await messageOf(fetch({ limit })),
          /data.hostCacheBytes is .*, of which .* are in use by other runs of this machine; raise it, or wait for their end$/,
        );
        assert.equal(await folders(), 1);
        other[Symbol.dispose]();
        using fetched = await fetch({ limit });
        await assertSame(manifest, root, fetched.root);
        assert.equal(await folders(), 1);
      });
    });
    const sent = server.sentBytes;
    using back = await fetch({ limit });
    assert.equal(server.sentBytes - sent, totalBytes);
    await assertSame(manifest, root, back.root);
  }));

Deno.test("fetchFiles() fetches only what has changed since an earlier run", () =>
  withImages(async ({ root, cache, fetch }) => {
    (await fetch())[Symbol.dispose]();
    await Deno.remove(join(root, "train/dark/5.jpg"));
    await Deno.writeFile(
      join(root, "train/dark/new.jpg"),
      await Deno.readFile(join(root, "val/dark/1.jpg")),
    );
    const changed = join(root, "train/light/1.jpg");
    await Deno.copyFile(join(root, "train/light/2.jpg"), changed);
    const expected = ["train/dark/new.jpg", "train/light/1.jpg"];
    const sizes = await Promise.all(
      expected.map(async (path) => (await Deno.stat(join(root, path))).size),
    );
    await serving({ root, cache }, {}, async ({ fetch, manifest }) => {
      using fetched = await fetch();
      assert.equal(fetched.fetchedBytes, sizes[0]! + sizes[1]!);
      await assertSame(manifest, root, fetched.root);
      assert.equal((await scanImages(fetched.root)).fingerprint, manifest.table.head.fingerprint);
      // Other classes and sides of the same files are the same list.
      await serving(
        { root: join(root, "train"), cache },
        { valFraction: 0.3 },
        async ({ fetch, manifest }) => {
          using part = await fetch();
          assert.notEqual(part.root, fetched.root);
          await assertSame(manifest, join(root, "train"), part.root);
        },
      );
    });
  }));

Deno.test("fetchFiles() trusts a self-made certificate at any address, and no other one", () =>
  withImages(async ({ root, manifest, fetch }) => {
    const [own, other] = await Promise.all([makeCertificate(), makeCertificate()]);
    const tls = { ...own, authority: own.certificate, serverName: OWN_CERTIFICATE_NAME };
    await using server = serveFiles(manifest, {
      root,
      runKey: "k",
      listen: { hostname: LOOPBACK },
      tls,
    });
    const source = server.source([LOOPBACK]);
    assert.match(source.urls[0]!, /^https:/);
    assert.match(
      await messageOf(
        fetch({ source: { ...source, certificate: other.certificate }, attempts: 1 }),
      ),
      /can't fetch the images from the coordinator \(a\) at https:.*certificate/i,
    );
    using fetched = await fetch({ source });
    await assertSame(manifest, root, fetched.root);
  }));

Deno.test("requireSafePaths() refuses names that lead out of the cache", () => {
  for (const name of ["..", ".", "", "a\0b"]) {
    const builder = new SampleTableBuilder();
    builder.add("train/a", "good.jpg", 0);
    builder.add(name === "a\0b" ? "train" : `train/${name}`, name === "a\0b" ? name : "x.jpg", 0);
    const table = builder.finish({ classes: ["a"], train: 2 });
    assert.throws(() => requireSafePaths({ table }), (error) => {
      assert.ok(error instanceof UsageError);
      return error.message.endsWith("can't be fetched: no file of a data set has such a name here");
    });
  }
});
