import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { runProvision } from "./run_provision.ts";

Deno.test("ensureDataset() sorts the photos of food groups into train and val, without copies", async () => {
  const cache = await Deno.makeTempDir();
  try {
    const { path, message } = await runProvision(cache, "ensureFoodGroups");
    assert.equal(message, undefined);
    const counts: Record<string, number> = {};
    const hashes = new Set<string>();
    for (const side of ["train", "val"]) {
      for await (const { name } of Deno.readDir(join(path!, side))) {
        for await (const file of Deno.readDir(join(path!, side, name))) {
          const bytes = await Deno.readFile(join(path!, side, name, file.name));
          assert.deepEqual([...bytes.subarray(0, 2)], [0xff, 0xd8], `${file.name} is a JPEG file`);
          hashes.add(createHash("sha256").update(bytes).digest("hex"));
          counts[`${side}/${name}`] = (counts[`${side}/${name}`] ?? 0) + 1;
        }
      }
    }
    assert.deepEqual(counts, {
      "train/fruits": 56,
      "train/green-leafy-vegetables": 25,
      "train/marine-fish": 65,
      "train/other-vegetables": 65,
      "val/fruits": 12,
      "val/green-leafy-vegetables": 9,
      "val/marine-fish": 27,
      "val/other-vegetables": 12,
    });
    assert.equal(hashes.size, 271, "no image is there twice");
    const about = JSON.parse(await Deno.readTextFile(join(path!, "about.json")));
    assert.deepEqual(about.counts, { train: 211, val: 60 });
    assert.equal(about.licence, "AGPL-3.0");
    const left = (await Array.fromAsync(Deno.readDir(join(cache, "datasets"))))
      .map(({ name }) => name).sort();
    assert.deepEqual(left, ["food-groups", "food-groups.lock"]);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("ensureDataset() shows Deno's error and another way when npm can't be reached", async () => {
  const cache = await Deno.makeTempDir();
  try {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const closed = `http://127.0.0.1:${listener.addr.port}`;
    listener.close();
    const { name, message } = await runProvision(cache, "ensureFoodGroups", {
      childEnv: {
        DENO_DIR: join(cache, "deno"), // else the package may be there
        NPM_CONFIG_REGISTRY: closed,
        RUST_BACKTRACE: "1",
      },
    });
    assert.equal(name, "UsageError");
    assert.match(message!, /Check the network, or set data\.root to a folder of images/);
    assert.match(message!, /Deno said:\n(?: {2}\| .*\n)+ {2}\| error sending request .*$/);
    const left = (await Array.fromAsync(Deno.readDir(join(cache, "datasets"))))
      .map(({ name }) => name);
    assert.deepEqual(left, ["food-groups.lock"], "nothing half made");
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});
