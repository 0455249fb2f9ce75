import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { CUDA_LIBRARIES, NCCL_LIBRARY } from "../../src/base/cuda_libraries.ts";
import { LIBTENSORFLOW_VERSION } from "../../src/base/versions.ts";
import { CUDA_WHEELS } from "../../src/provision/cuda_wheels.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runProvision } from "./run_provision.ts";

Deno.test("each CUDA build has every library that is opened, pinned, and each wheel once", () => {
  for (const [build, wheels] of Object.entries(CUDA_WHEELS)) {
    const files = wheels.flatMap(({ folder, files }) => files.map((file) => `${folder}/${file}`));
    for (const { folder, name } of [...CUDA_LIBRARIES, NCCL_LIBRARY]) {
      assert.ok(files.includes(`nvidia/${folder}/lib/${name}`), `${build} lacks ${name}`);
    }
    assert.equal(new Set(wheels.map(({ name }) => name)).size, wheels.length);
    for (const { name, sha256, bytes, platform } of wheels) {
      assert.match(sha256, /^[0-9a-f]{64}$/, name);
      assert.ok(bytes > 500_000 && platform, name);
    }
  }
});

Deno.test("ensureLibtensorflow() fetches what a CUDA build lacks, says how much beforehand, and leaves what is whole", () =>
  withTemporaryFolder(async (cache) => {
    const root = join(cache, `libtensorflow-${LIBTENSORFLOW_VERSION}-cuda-12.5`);
    const [missing, ...whole] = CUDA_WHEELS["cuda-12.5"];
    for (const { folder, files } of whole) {
      for (const file of files) {
        const path = join(root, folder, file);
        await Deno.mkdir(dirname(path), { recursive: true });
        await Deno.writeTextFile(path, "whole");
      }
    }
    const { path, message, events } = await runProvision(cache, "ensureCudaBuild", {
      rights: ["-P=setup"],
    });
    assert.equal(message, undefined);
    assert.equal(path, join(root, "tensorflow", "libtensorflow_cc.so.2"));
    assert.match(
      events[0]!.note!,
      /^896 kB to fetch, 712 kB unpacked, into .*libtensorflow-.*-cuda-12\.5 \(.* free\)$/,
    );
    const names = new Set(events.map(({ what }) => what));
    assert.deepEqual([...names].filter((name) => name.includes("nvidia-")).length, 2); // fetched, then unpacked
    const { size } = await Deno.stat(join(root, missing!.folder, missing!.files[0]!));
    assert.equal(size, missing!.unpackedBytes);
    assert.equal(await Deno.readTextFile(path!), "whole");
  }));
