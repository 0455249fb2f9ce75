import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import {
  checkHash,
  ensureHashedFile,
  fetchHashed,
  type HashedFile,
} from "../../src/provision/hashed_file.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

const CONTENT = new Uint8Array(randomBytes(3 * 2 ** 20));
const DIGITS = createHash("sha256").update(CONTENT).digest("hex").slice(0, 8);
const NAME = `network-${DIGITS}.pth`;
const silence = () => {};

/** A server, a folder, and the file that goes from one to the other. */
interface Rig {
  readonly folder: string;
  readonly path: string;
  readonly url: string;
  /** `Range` of each request. */
  readonly asked: (string | null)[];
  /** Fetches the file as `ensurePretrainedWeights()` does. */
  readonly file: HashedFile;
}

/** Serves `content` as `NAME` on a free port of this machine. */
async function withServer(
  use: (rig: Rig) => Promise<void>,
  content = CONTENT,
): Promise<void> {
  const asked: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const range = request.headers.get("range");
    asked.push(range);
    const start = range ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : 0;
    if (start >= content.length) return new Response(null, { status: 416 });
    return new Response(content.subarray(start), {
      status: start > 0 ? 206 : 200,
      headers: { "content-length": String(content.length - start) },
    });
  });
  try {
    await withTemporaryFolder(async (folder) => {
      const url = `http://127.0.0.1:${server.addr.port}/${NAME}`;
      const path = join(folder, "weights", NAME);
      await use({ folder, path, url, asked, file: hashedFile(url, path) });
    });
  } finally {
    await server.shutdown();
  }
}

function hashedFile(url: string, path: string): HashedFile {
  const otherwise = "do without";
  return {
    what: NAME,
    path,
    source: url,
    otherwise,
    make: (target) => fetchHashed(target, { url, path, otherwise }, silence),
  };
}

async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  assert.fail("it was accepted");
}

async function filesIn(path: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(path, "..")));
  return entries.map(({ name }) => name).filter((name) => !name.endsWith(".lock")).sort();
}

Deno.test("ensureHashedFile() fetches the file once and leaves nothing else", () =>
  withServer(async ({ path, asked, file }) => {
    assert.equal(await ensureHashedFile(file, silence), path);
    assert.equal(await ensureHashedFile(file, silence), path);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(asked, [null]);
    assert.deepEqual(await filesIn(path), [NAME]);
  }));

/** Sends one request a part of the content and hangs up. */
async function hangUp(listener: Deno.Listener, bytes: number): Promise<void> {
  using connection = await listener.accept() as Deno.TcpConn;
  await connection.read(new Uint8Array(4096));
  const head = `HTTP/1.1 200 OK\r\ncontent-length: ${CONTENT.length}\r\n\r\n`;
  await connection.write(new TextEncoder().encode(head));
  for (let sent = 0; sent < bytes;) sent += await connection.write(CONTENT.subarray(sent, bytes));
  await connection.closeWrite();
  while (await connection.read(new Uint8Array(4096)) !== null); // until the other side has hung up too
}

Deno.test("fetchHashed() goes on where a download was cut, after saying how much is here", () =>
  withServer(async ({ path, asked, file }) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const cut = hangUp(listener, 2 * 2 ** 20);
    const url = `http://127.0.0.1:${listener.addr.port}/${NAME}`;
    const message = await refusal(ensureHashedFile(hashedFile(url, path), silence));
    await cut;
    assert.deepEqual(await filesIn(path), [`${NAME}.part`]);
    const { size } = await Deno.stat(`${path}.part`);
    const kept = `${(size / 2 ** 20).toFixed(1)} MiB`;
    assert.ok(
      message.includes(`): run again to go on after the ${kept} here, fetch ${url}`),
      message,
    );
    await ensureHashedFile(file, silence);
    assert.deepEqual(asked, [`bytes=${size}-`]);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(await filesIn(path), [NAME]);
  }));

Deno.test("fetchHashed() begins again when what was left of another download doesn't fit", () =>
  withServer(async ({ folder, path, asked, file }) => {
    await Deno.mkdir(join(folder, "weights"));
    await Deno.writeFile(`${path}.part`, new Uint8Array(1000));
    await ensureHashedFile(file, silence);
    assert.deepEqual(asked, ["bytes=1000-", null]);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  }));

Deno.test("fetchHashed() refuses a file with another hash and keeps nothing of it", () =>
  withServer(async ({ path, url, asked, file }) => {
    const message = await refusal(ensureHashedFile(file, silence));
    const found = createHash("sha256").update(new Uint8Array(5)).digest("hex").slice(0, 8);
    assert.equal(
      message,
      `${url} gave a file whose SHA-256 begins with ${found}, expected ${DIGITS}: ` +
        `fetch ${url} by hand and put it at ${path}, or do without`,
    );
    assert.equal(asked.length, 1);
    assert.deepEqual(await filesIn(path), []);
  }, new Uint8Array(5)));

Deno.test("fetchHashed() names the URL and the place when the host is out of reach", () =>
  withTemporaryFolder(async (folder) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const url = `http://127.0.0.1:${listener.addr.port}/${NAME}`;
    listener.close();
    const path = join(folder, NAME);
    const message = await refusal(ensureHashedFile(hashedFile(url, path), silence));
    assert.ok(message.startsWith(`${url} can't be fetched (`), message);
    assert.ok(
      message.endsWith(`): fetch ${url} by hand and put it at ${path}, or do without`),
      message,
    );
  }));

Deno.test("ensureHashedFile() takes a good file that was put there by hand, without the network", () =>
  withServer(async ({ folder, path, asked, file }) => {
    await Deno.mkdir(join(folder, "weights"));
    await Deno.writeFile(path, CONTENT);
    assert.equal(await ensureHashedFile(file, silence), path);
    assert.deepEqual(asked, []);
    assert.deepEqual(await checkHash(path), { matches: true, found: DIGITS, expected: DIGITS });
  }));

Deno.test("ensureHashedFile() refuses a wrong file that was put there by hand, and leaves it", () =>
  withServer(async ({ folder, path, url, asked, file }) => {
    await Deno.mkdir(join(folder, "weights"));
    const part = CONTENT.subarray(0, 2 ** 20);
    await Deno.writeFile(path, part);
    const found = createHash("sha256").update(part).digest("hex").slice(0, 8);
    assert.equal(
      await refusal(ensureHashedFile(file, silence)),
      `${path} (1.0 MiB) is cut short or another file: its SHA-256 begins with ${found}, expected ` +
        `${DIGITS}. Remove it and run again to have it fetched, put ${url} in its place, or do without`,
    );
    assert.deepEqual(asked, []);
    assert.equal((await Deno.stat(path)).size, 2 ** 20);
  }));

Deno.test("ensureHashedFile() says what is wrong with what can't be read", () =>
  withServer(async ({ path, url, file }) => {
    await Deno.mkdir(path, { recursive: true });
    const message = await refusal(ensureHashedFile(file, silence));
    assert.ok(message.startsWith(`${path} can't be read (`), message);
    assert.ok(message.endsWith(`): put ${url} in its place, or do without`), message);
  }));
