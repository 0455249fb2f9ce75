import assert from "node:assert/strict";
import { delay } from "../../src/base/async.ts";
import { OutputQueue, type OutputTarget } from "../../src/terminal/output_queue.ts";

/** A target whose writes last until `read()`. */
class Slow implements OutputTarget {
  text = "";
  #isReading = false;
  #waiting: (() => void)[] = [];

  async write(bytes: Uint8Array): Promise<number> {
    if (!this.#isReading) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.writeSync(bytes);
  }

  writeSync(bytes: Uint8Array): number {
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }

  read(): void {
    this.#isReading = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const LINE = `${"x".repeat(99)}\n`;

Deno.test("news that nobody reads wait within a bound; what was left out is said once there is a reader", async () => {
  let now = 0;
  const queue = new OutputQueue({ now: () => now });
  const target = new Slow();
  for (let count = 0; count < 1000; count++) queue.write(target, LINE, "news");
  assert.ok(queue.bytes <= 2 ** 16, `${queue.bytes}`);
  const kept = queue.bytes / LINE.length;
  now = 42_000;
  await delay(0);
  assert.equal(target.text, "");
  assert.equal(queue.stalledMs, 42_000);
  target.read();
  await queue.until(0);
  queue.write(target, "later\n", "news");
  queue.write(target, "last\n", "news");
  await queue.until(0);
  assert.equal(
    target.text,
    LINE.repeat(kept) +
      `\n… ${
        1000 - kept
      } lines were left out here: nobody read this output for 42 s\nlater\nlast\n`,
  );
});

Deno.test("a result that nobody reads is kept whole, in its place among the news", async () => {
  const queue = new OutputQueue();
  const target = new Slow();
  queue.write(target, "news\n", "news");
  for (let count = 0; count < 2000; count++) queue.write(target, LINE, "result");
  queue.write(target, "more\n", "news");
  assert.ok(queue.holdsResults);
  let isTaken = false;
  const taken = queue.until(0).then(() => isTaken = true);
  await delay(0);
  assert.equal(isTaken, false);
  target.read();
  await taken;
  assert.equal(target.text, `news\n${LINE.repeat(2000)}more\n`);
  assert.equal(queue.holdsResults, false);
});

Deno.test("a reader that left gets nothing more; a full disk is told, and later text tried again", async () => {
  const errors: string[] = [];
  const queue = new OutputQueue({
    onError: (_target, error, kind) => errors.push(`${kind}: ${error}`),
  });
  let calls = 0;
  let failure: Error | undefined = new Deno.errors.BrokenPipe("gone");
  const target = {
    write: (bytes: Uint8Array) => {
      calls++;
      return failure ? Promise.reject(failure) : Promise.resolve(bytes.length);
    },
    writeSync: () => 0,
  };
  queue.write(target, "a", "news");
  await queue.until(0);
  queue.write(target, "b", "result");
  await queue.until(0);
  assert.equal(calls, 1);
  assert.ok(queue.isGone(target));

  const disk = { ...target };
  failure = new Error("full");
  queue.write(disk, "a", "result");
  await queue.until(0);
  assert.deepEqual(errors, ["result: Error: full"]);
  failure = undefined;
  queue.write(disk, "b", "news");
  await queue.until(0);
  assert.equal(calls, 3);
});

Deno.test("a non-blocking pipe that is full is tried again; a process that ends writes what waits", async () => {
  const queue = new OutputQueue();
  const target = new Slow();
  target.read();
  let tries = 0;
  const busy: OutputTarget = {
    write: (bytes) =>
      tries++ < 2 ? Promise.reject(new Deno.errors.WouldBlock("full")) : target.write(bytes),
    writeSync: (bytes) => target.writeSync(bytes),
  };
  queue.write(busy, "a\n", "news");
  await queue.until(0);
  assert.equal(target.text, "a\n");
  queue.write(busy, "b\n", "news");
  queue.write(busy, "c\n", "news");
  queue.writeLast();
  assert.equal(target.text, "a\nb\nc\n");
});
