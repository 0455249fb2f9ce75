import assert from "node:assert/strict";
import { LockstepError } from "../../src/base/errors.ts";
import {
  createSharedSegment,
  mapSharedSegment,
  trySharedSegment,
} from "../../src/base/shared_memory.ts";

const MODULE = new URL("../../src/base/shared_memory.ts", import.meta.url).href;
const BYTES = 3_000_000;
const ignore = Deno.build.os !== "linux";

async function inAnotherProcess(code: string): Promise<string> {
  const source = `import * as memory from ${JSON.stringify(MODULE)};\n${code}`;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-ffi", "--allow-sys=systemMemoryInfo", "-"],
    stdin: "piped",
    stdout: "piped",
  });
  const process = command.spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const { success, stdout } = await process.output();
  assert.ok(success);
  return new TextDecoder().decode(stdout).trim();
}

Deno.test({
  name: "a segment of zeros is the same memory in two processes, and has no name",
  ignore,
  fn: async () => {
    using segment = createSharedSegment("lockstep-test", BYTES);
    const own = mapSharedSegment(segment.path, BYTES);
    assert.ok(own.every((byte) => byte === 0));
    own[BYTES - 1] = 7;
    const seen = await inAnotherProcess(`
      const bytes = memory.mapSharedSegment(${JSON.stringify(segment.path)}, ${BYTES});
      console.log(bytes[${BYTES - 1}]);
      bytes[4096] = 9;`);
    assert.equal(seen, "7");
    assert.equal(own[4096], 9);
    assert.match(segment.path, /^\/proc\/\d+\/fd\/\d+$/, "no name in any folder");
    segment[Symbol.dispose]();
    assert.equal(own[4096], 9, "who has it mapped keeps it");
    assert.throws(() => mapSharedSegment(segment.path, BYTES), LockstepError);
  },
});

Deno.test({
  name: "a segment is gone with the process that made it",
  ignore,
  fn: async () => {
    const path = await inAnotherProcess(
      `console.log(memory.createSharedSegment("lockstep-test", ${BYTES}).path);`,
    );
    assert.throws(
      () => mapSharedSegment(path, BYTES),
      (error) =>
        error instanceof LockstepError && error.message.startsWith(`Shared memory ${path} can't`),
    );
  },
});

Deno.test({
  name: "trySharedSegment() knows a segment by its mark, in any process",
  ignore,
  fn: async () => {
    using segment = createSharedSegment("lockstep-test", BYTES);
    using other = createSharedSegment("lockstep-test", BYTES);
    using shorter = createSharedSegment("lockstep-test", 100);
    const { path, mark } = segment;
    const address = JSON.stringify({ path, bytes: BYTES, mark });
    const seen = await inAnotherProcess(`memory.trySharedSegment(${address}); console.log("fine")`);
    assert.equal(seen, "fine");
    assert.ok(mapSharedSegment(path, BYTES).every((byte) => byte === 0), "it was only looked at");
    for (const foreign of [other, shorter]) {
      assert.throws(
        () => trySharedSegment({ path: foreign.path, bytes: BYTES, mark }),
        {
          message: `${foreign.path} is not the shared memory of this run, but another process's`,
        },
      );
    }
  },
});

Deno.test({
  name: "createSharedSegment() refuses more than there is",
  ignore,
  fn: () => {
    const { available } = Deno.systemMemoryInfo();
    assert.throws(
      () => createSharedSegment("lockstep-test", 2 * available),
      (error) => error instanceof LockstepError && /more than the \d+/.test(error.message),
    );
    using nothing = createSharedSegment("lockstep-test", 0);
    assert.equal(mapSharedSegment(nothing.path, 0).length, 0);
  },
});

Deno.test({
  name: "a segment gives its memory back, while others have it mapped",
  ignore,
  fn: () => {
    // Deno itself looks at descriptors with all rights only.
    const using = (path: string) => {
      const { stdout } = new Deno.Command("stat", { args: ["-L", "-c", "%b", path] }).outputSync();
      return 512 * Number(new TextDecoder().decode(stdout));
    };
    const segment = createSharedSegment("lockstep-test", BYTES);
    const own = mapSharedSegment(segment.path, BYTES);
    own.fill(7);
    assert.ok(using(segment.path) >= BYTES);
    segment.release();
    assert.ok(using(segment.path) <= 2 * 4096, `${using(segment.path)} bytes are left`);
    assert.ok(own.every((byte) => byte === 0));
    trySharedSegment(segment); // the mark stays
    segment[Symbol.dispose]();
    segment.release(); // without effect
    segment[Symbol.dispose]();
  },
});
