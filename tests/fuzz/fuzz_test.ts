import assert from "node:assert/strict";
import { findFault, findFaultInChild, runFuzzer } from "./run_fuzzer.ts";

/** The readers of input from outside, one file of `targets` each. */
const FUZZERS = [
  "archives",
  "checkpoints",
  "chunks",
  "config",
  "image_frames",
  "image_headers",
  "joining",
  "messages",
  "nats_handshake",
  "nats_stream",
  "overrides",
  "weights_pth",
  "weights_safetensors",
] as const;

for (const name of FUZZERS) {
  Deno.test(`fuzz: ${name}`, async () => await runFuzzer(name));
}

Deno.test("every fuzzer is run", async () => {
  const files = await Array.fromAsync(Deno.readDir(new URL("./targets", import.meta.url)));
  const names = files.map(({ name }) => name.replace(/\.ts$/, "")).sort();
  assert.deepEqual(names, [...FUZZERS].sort());
});

/** The fault of a reader in `faults`. */
async function faultOf(name: string) {
  return await findFault(new URL(`./faults/${name}.ts`, import.meta.url).href, { hangMs: 2_000 });
}

Deno.test("a fuzzer finds a case that hangs, and says how to repeat it", async () => {
  const { message, seed, path } = (await faultOf("hangs"))!;
  assert.match(message, /^A case hangs: the \d+th/);
  assert.deepEqual([seed, Number(path) >= 0], [1, true]);
});

Deno.test("a fuzzer finds a size that is believed, and a small case that shows it", async () => {
  const { message, input } = (await faultOf("allocates"))!;
  assert.match(message, /The case allocates \d+ bytes of buffers/);
  assert.equal(input, "[8388612]");
});

Deno.test("a fuzzer finds a slip behind an error of Lockstep's, and repeats it by seed and path", async () => {
  const { message, input, seed, path } = (await faultOf("slips"))!;
  assert.match(message, /A slip is the cause/);
  assert.equal(input, "[[3]]");
  const url = new URL("./faults/slips.ts", import.meta.url).href;
  const again = await findFault(url, { seed: seed!, path: path! });
  assert.equal(again?.input, "[[3]]");
});

Deno.test("a fuzzer of native code finds a case that ends its process, and says how to repeat it", async () => {
  const url = new URL("./faults/crashes.ts", import.meta.url).href;
  const { message, seed, path } = (await findFaultInChild(url, { seed: 1 }))!;
  assert.match(message, /^The process ends with SIGSEGV/);
  assert.deepEqual([seed, Number(path) > 0], [1, true]);
});
