import assert from "node:assert/strict";
import { describeExit, keepLines, readLines } from "../../src/hosts/lines.ts";

/** A stream of chunks. */
function streamOf(...chunks: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return ReadableStream.from(
    chunks.map((part) => typeof part === "string" ? encoder.encode(part) : part),
  );
}

Deno.test("readLines() joins lines across chunks and characters across bytes", async () => {
  const [first, second] = [Uint8Array.of(0xc3), Uint8Array.of(0xbc)]; // ü
  const lines = await Array.fromAsync(
    readLines(streamOf("on", "e\r\ntwo\n\n", "M", first, second, "ll")),
  );
  assert.deepEqual(lines, ["one", "two", "", "Müll"]);
});

Deno.test("readLines() cuts a line that never ends", async () => {
  const lines = await Array.fromAsync(readLines(streamOf("abcdef", "gh", "\nx"), 5));
  assert.deepEqual(lines, ["abcdef", "gh", "x"]);
});

Deno.test("keepLines() keeps the last lines and passes all on", async () => {
  const kept: string[] = [];
  const heard: string[] = [];
  await keepLines(streamOf("a\nb\nc\n"), kept, 2, (line) => heard.push(line));
  assert.deepEqual([kept, heard], [["b", "c"], ["a", "b", "c"]]);
});

Deno.test("describeExit() says how a process ended", () => {
  assert.equal(describeExit({ code: 3, signal: null }), "exited with code 3");
  assert.equal(describeExit({ code: 137, signal: "SIGKILL" }), "was killed by SIGKILL");
});
