import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckerPool } from "../../src/data_check/checker_pool.ts";
import { put, sceneJpeg } from "../support/scenes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** Ids of this process's own checkers. */
async function checkers(): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-o", "pid=,args=", "--ppid", String(Deno.pid)],
  }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.includes("image_checker.ts"))
    .map((line) => parseInt(line));
}

async function made(folder: string): Promise<string[]> {
  const names = ["0.jpg", "1.jpg", "stuck.jpg", "3.jpg"];
  for (const name of names) await put(folder, name, await sceneJpeg(name.charCodeAt(0)));
  return names.map((name) => join(folder, name));
}

/** Writes a BMP of 24 bits whose pixels are a hole in the file. */
async function writeBlackBmp(path: string, width: number, height: number): Promise<void> {
  const header = new DataView(new ArrayBuffer(54));
  const bytes = header.byteLength + 3 * width * height;
  header.setUint16(0, 0x424d); // "BM"
  header.setUint32(2, bytes, true);
  header.setUint32(10, header.byteLength, true);
  header.setUint32(14, 40, true);
  header.setInt32(18, width, true);
  header.setInt32(22, height, true);
  header.setUint16(26, 1, true);
  header.setUint16(28, 24, true);
  await Deno.writeFile(path, new Uint8Array(header.buffer));
  await Deno.truncate(path, bytes);
}

Deno.test("CheckerPool goes on with a new process when an image ends one", () =>
  withTemporaryFolder(async (folder) => {
    const paths = await made(folder);
    // So large that the process can be killed at work on it.
    await writeBlackBmp(paths[2], 8000, 8000);
    await using pool = new CheckerPool({ maxPixels: 1e8, processes: 1 });
    const facts = await pool.inspect(paths, async (done) => {
      if (done !== 2) return;
      const [pid, ...others] = await checkers();
      assert.equal(others.length, 0);
      Deno.kill(pid, "SIGKILL");
    });
    assert.deepEqual(facts.map(({ problem }) => problem?.kind), [
      undefined,
      undefined,
      "crash",
      undefined,
    ]);
    assert.equal(facts[3].width, 96);
  }));

Deno.test("CheckerPool gives the images' facts in order, and small images", () =>
  withTemporaryFolder(async (folder) => {
    const paths = await made(folder);
    await using pool = new CheckerPool({ maxPixels: 1e6, processes: 2 });
    const facts = await pool.inspect(paths, () => {});
    assert.equal(new Set(facts.map(({ sha256 }) => sha256)).size, 4);
    const again = await pool.inspect(paths.toReversed(), () => {});
    assert.deepEqual(again.toReversed(), facts);
    const [small, lost] = await pool.thumbnails([paths[0], join(folder, "lost.jpg")], 48);
    assert.deepEqual([small?.width, small?.height, lost], [48, 36, undefined]);
    assert.equal((await checkers()).length, 2);
    await pool.end();
    assert.equal((await checkers()).length, 0);
  }));

Deno.test("CheckerPool knows of which image libjpeg says that it is damaged", () =>
  withTemporaryFolder(async (folder) => {
    const paths = await made(folder);
    const odd = await Deno.readFile(paths[1]);
    odd[11] = 9; // a revision of JFIF that doesn't exist, of which libjpeg warns, too
    await Deno.writeFile(paths[1], odd);
    const broken = await Deno.readFile(
      new URL("../fixtures/data/jpegs/restarts.jpg", import.meta.url),
    );
    const middle = Math.floor(0.6 * broken.length);
    broken.fill(0, middle, middle + 20);
    await Deno.writeFile(paths[2], broken);
    await using pool = new CheckerPool({ maxPixels: 1e6, processes: 1 });
    const facts = await pool.inspect(paths, () => {});
    assert.ok(facts.every(({ problem }) => problem === undefined));
    const said = [...await pool.end()];
    assert.deepEqual(said.map(([index]) => index), [2]);
    assert.match(said[0][1], /^Corrupt JPEG data/);
  }));

Deno.test("CheckerPool ends with the reason of its signal, and leaves no process", () =>
  withTemporaryFolder(async (folder) => {
    const paths = await made(folder);
    const stop = new AbortController();
    {
      await using pool = new CheckerPool({ maxPixels: 1e6, processes: 2, signal: stop.signal });
      const inspected = pool.inspect(paths, () => stop.abort(new Error("enough")));
      await assert.rejects(inspected, /^Error: enough$/);
    }
    assert.equal((await checkers()).length, 0);
  }));
