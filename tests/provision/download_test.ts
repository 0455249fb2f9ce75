import assert from "node:assert/strict";
import { join } from "node:path";
import { download } from "../../src/provision/download.ts";
import type { ProgressEvent } from "../../src/provision/progress.ts";

const CONTENT = crypto.getRandomValues(new Uint8Array(50_000));

/** The server's behaviour. */
interface Behaviour {
  /** Answers Range requests; otherwise it sends the whole file. */
  ranges?: boolean;
  /** Sends that many bytes, then falls silent. */
  silentAt?: number;
  status?: number;
}

/** Serves CONTENT on a free port of this machine, and records the ranges that were asked for. */
async function serving(
  { ranges = true, silentAt, status }: Behaviour,
  use: (url: string, folder: string, asked: (string | null)[]) => Promise<void>,
): Promise<void> {
  const asked: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const range = request.headers.get("range");
    asked.push(range);
    if (status) return new Response(null, { status });
    const start = ranges && range ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : 0;
    if (start >= CONTENT.length) return new Response(null, { status: 416 });
    const bytes = CONTENT.subarray(start, silentAt ?? CONTENT.length);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes);
        if (silentAt === undefined) controller.close();
      },
    });
    const headers = { "content-length": String(CONTENT.length - start) };
    return new Response(body, { status: start > 0 ? 206 : 200, headers });
  });
  const folder = await Deno.makeTempDir();
  try {
    await use(`http://127.0.0.1:${server.addr.port}/file`, folder, asked);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

const silence = () => {};

Deno.test("download() writes the file and tells how far it is", () =>
  serving({}, async (url, folder, asked) => {
    const events: ProgressEvent[] = [];
    const path = join(folder, "file");
    await download(url, path, "the file", (event) => events.push(event));
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(asked, [null]);
    assert.deepEqual(events.at(-1), { what: "the file", bytes: 50_000, totalBytes: 50_000 });
  }));

Deno.test("download() goes on where an earlier attempt ended", () =>
  serving({}, async (url, folder, asked) => {
    const events: ProgressEvent[] = [];
    const path = join(folder, "file");
    await Deno.writeFile(path, CONTENT.subarray(0, 20_000));
    await download(url, path, "the file", (event) => events.push(event));
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(asked, ["bytes=20000-"]);
    assert.ok(events[0].bytes! > 20_000, "what was there counts");
    assert.equal(events.at(-1)!.totalBytes, 50_000);
    await download(url, path, "the file", silence);
    assert.deepEqual(await Deno.readFile(path), CONTENT, "complete already");
  }));

Deno.test("download() begins again when the server sends the whole file", () =>
  serving({ ranges: false }, async (url, folder) => {
    const path = join(folder, "file");
    await Deno.writeFile(path, new Uint8Array(20_000));
    await download(url, path, "the file", silence);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  }));

Deno.test("download() fails when the connection is cut, and goes on from there the next time", () =>
  serving({}, async (url, folder, asked) => {
    const path = join(folder, "file");
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const cut = listener.accept().then(async (connection) => {
      await connection.read(new Uint8Array(4096));
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${CONTENT.length}\r\n\r\n`;
      await connection.write(new TextEncoder().encode(head));
      await connection.write(CONTENT.subarray(0, 8_000));
      connection.closeWrite();
      return connection;
    });
    const start = download(`http://127.0.0.1:${listener.addr.port}/file`, path, "it", silence);
    await assert.rejects(start, /./);
    (await cut).close();
    const kept = await Deno.readFile(path);
    assert.ok(kept.length > 0);
    assert.deepEqual(kept, CONTENT.subarray(0, kept.length));
    await download(url, path, "the file", silence);
    assert.deepEqual(asked, [`bytes=${kept.length}-`]);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  }));

Deno.test("download() gives up on a server that falls silent", () =>
  serving({ silentAt: 10_000 }, async (url, folder) => {
    const path = join(folder, "file");
    await assert.rejects(
      download(url, path, "the file", silence, 300),
      /the server sent nothing for 0\.3 s/,
    );
  }));

Deno.test("download() names the status of a refusal, and leaves what was there", () =>
  serving({ status: 404 }, async (url, folder) => {
    const path = join(folder, "file");
    await Deno.writeFile(path, CONTENT.subarray(0, 100));
    await assert.rejects(download(url, path, "the file", silence), /the server answered 404/);
    assert.equal((await Deno.stat(path)).size, 100);
  }));
