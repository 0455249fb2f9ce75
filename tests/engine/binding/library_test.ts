import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { LIBTENSORFLOW_FILES, libtensorflowPath } from "../../../src/base/libtensorflow_path.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import {
  nativeVariable,
  setNativeVariables,
} from "../../../src/engine/binding/native_environment.ts";
import { folderOfLoaded } from "../../../src/engine/binding/dynamic_loader.ts";
import { openLibrary } from "../../../src/engine/binding/library.ts";
import { withTemporaryFolder } from "../../support/temporary_folder.ts";

Deno.test("setNativeVariables() gives native code its variables, and leaves those that stand", () => {
  const name = "LOCKSTEP_TEST_VARIABLE";
  assert.equal(nativeVariable(name), undefined);
  setNativeVariables({ [name]: "first" }, false);
  setNativeVariables({ [name]: "second" }, false);
  assert.equal(nativeVariable(name), "first");
  setNativeVariables({ [name]: "third" }, true);
  assert.equal(nativeVariable(name), "third");
});

Deno.test("openEngine() asks for oneDNN's kernels on every x86 CPU", {
  ignore: Deno.build.arch !== "x86_64",
}, async () => {
  await openEngine();
  assert.match(nativeVariable("TF_ENABLE_ONEDNN_OPTS") ?? "", /^[01]$/);
});

Deno.test("a process that has loaded libtensorflow takes it from no other folder", {
  ignore: Deno.build.os !== "linux",
}, () =>
  withTemporaryFolder(async (folder) => {
    openLibrary({ device: "cpu" });
    const real = dirname(Deno.realPathSync(libtensorflowPath()));
    assert.equal(folderOfLoaded(LIBTENSORFLOW_FILES.framework), real);
    assert.equal(folderOfLoaded("libnone.so.1"), undefined);
    const path = join(folder, LIBTENSORFLOW_FILES.main);
    await Deno.writeTextFile(path, "refused before it is read");
    assert.throws(() => openLibrary({ path, device: "cpu" }), {
      name: "UsageError",
      message: new RegExp(
        `^libtensorflow is to be opened at ${path}, but this process has loaded the one in ${real}`,
      ),
    });
    openLibrary({ device: "cpu" });
  }));
