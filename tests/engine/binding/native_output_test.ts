import assert from "node:assert/strict";
import { logProblems, withCapturedStderr } from "../../../src/engine/binding/native_output.ts";
import { LIBC } from "../../../src/engine/binding/native_environment.ts";

/** Writes to file descriptor 2 as native code does. */
function writeNative(text: string): void {
  const libc = Deno.dlopen(LIBC, {
    write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  });
  const bytes = new TextEncoder().encode(text);
  libc.symbols.write(2, bytes, BigInt(bytes.length));
  libc.close();
}

Deno.test("withCapturedStderr() gives what native code writes, also when the action throws", {
  ignore: Deno.build.os !== "linux",
}, () => {
  const texts: string[] = [];
  const result = withCapturedStderr(() => {
    writeNative("one ä\n");
    return 7;
  }, (text) => texts.push(text));
  assert.equal(result, 7);
  assert.throws(() =>
    withCapturedStderr(() => {
      writeNative("two\n");
      throw new Error("stop");
    }, (text) => texts.push(text)), /stop/);
  assert.deepEqual(texts, ["one ä\n", "two\n"]);
});

Deno.test("logProblems() keeps the messages of warnings and errors", () => {
  assert.deepEqual(
    logProblems(
      "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n" +
        "I0000 00:00:1795917923.021131   13053 port.cc:153] oneDNN custom operations are on.\n" +
        "W0000 00:00:1795917923.819893   13053 gpu_device.cc:2365] Cannot dlopen some GPU libraries. \n" +
        "Skipping registering GPU devices...\n" +
        "E0000 00:00:1795917926.425873   13184 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n",
    ),
    ["Cannot dlopen some GPU libraries.", "failed call to cuInit: INTERNAL"],
  );
});
