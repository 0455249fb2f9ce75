import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { LIBTENSORFLOW_FILES, libtensorflowPath } from "../../src/base/libtensorflow_path.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runCommand, tinyConfig } from "../support/tiny_run.ts";

/** A library as it is for another CPU: 64-bit ARM where this is x86, and the other way round. */
function forAnotherCpu(library: Uint8Array): Uint8Array {
  const MACHINE_AT = 18;
  const [ARM64, X86] = [183, 62];
  const bytes = library.slice();
  bytes[MACHINE_AT] = bytes[MACHINE_AT] === ARM64 ? X86 : ARM64;
  return bytes;
}

/** A library without TensorFlow's functions: the C library's of mathematics. */
async function otherLibrary(): Promise<Uint8Array> {
  const script = "grep -m 1 -o '/.*/libm[.-].*' \"/proc/$1/maps\"";
  const args = ["-c", script, "sh", String(Deno.pid)];
  const { stdout } = await new Deno.Command("sh", { args }).output();
  return await Deno.readFile(new TextDecoder().decode(stdout).trim());
}

const CURE = `; run "deno task setup", or set LOCKSTEP_LIBTENSORFLOW to the path of .*`;
const UNLOADABLE = "^error: .* can't be loaded as libtensorflow on this machine: ";

const WORDS: Record<string, RegExp> = {
  missing: /^error: LOCKSTEP_LIBTENSORFLOW is .*, where nothing is: correct it, or unset it/,
  text: new RegExp(`${UNLOADABLE}.*invalid ELF header${CURE}$`, "m"),
  foreign: new RegExp(
    `${UNLOADABLE}.*(cannot open shared object file|wrong ELF class|Exec format).*${CURE}$`,
    "m",
  ),
  other: new RegExp(`${UNLOADABLE}.*undefined symbol.*${CURE}$`, "m"),
  short: new RegExp(
    `${UNLOADABLE}the file is cut short: it has [\\d.]+ MB, and needs at least [\\d.]+ MB${CURE}$`,
    "m",
  ),
};

Deno.test("a libtensorflow that is missing, no library, for another CPU, cut short or of another version is one sentence with the cure", () =>
  withTemporaryFolder(async (folder) => {
    await makeImages(join(folder, "images"), { train: 3, val: 1 });
    const config = join(folder, "config.yaml");
    await Deno.writeTextFile(config, stringify(tinyConfig(join(folder, "images"))));
    const real = libtensorflowPath();
    const half = Deno.readFileSync(
      real.replace(LIBTENSORFLOW_FILES.main, LIBTENSORFLOW_FILES.framework),
    );
    const contents: Record<string, Uint8Array | undefined> = {
      missing: undefined,
      text: new TextEncoder().encode("no library\n".repeat(99)),
      foreign: forAnotherCpu(await otherLibrary()),
      other: await otherLibrary(),
      short: half.subarray(0, half.length >> 1),
    };
    await Promise.all(
      Object.entries(contents).map(async ([name, bytes]) => {
        const library = join(folder, name, LIBTENSORFLOW_FILES.main);
        await Deno.mkdir(join(folder, name));
        if (bytes) {
          for (const file of Object.values(LIBTENSORFLOW_FILES)) {
            await Deno.writeFile(join(folder, name, file), bytes);
          }
        }
        const { code, stderr } = await runCommand(["train", "--config", config], folder, {
          LOCKSTEP_LIBTENSORFLOW: library,
        });
        assert.equal(code, 2, `${name}: ${stderr}`);
        assert.doesNotMatch(stderr, /^ {4}at /m);
        assert.equal(stderr.trim().split("\n").length, 1, stderr);
        assert.match(stderr, WORDS[name]);
        assert.ok(stderr.includes(library), stderr);
      }),
    );
  }));
