import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { runDeno } from "../support/run_deno.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Runs `data` with a cache of its own, and a proxy that isn't there: it reaches no machine. */
async function data(cache: string, ...args: string[]) {
  const nowhere = "http://127.0.0.1:1";
  return await runDeno(["run", "--no-prompt", "--allow-all", "src/cli.ts", "data", ...args], {
    cwd: ROOT,
    env: { LOCKSTEP_CACHE: cache, HTTPS_PROXY: nowhere, https_proxy: nowhere },
  });
}

Deno.test("runData() shows each data set with its state in the cache, size, terms and source", () =>
  withTemporaryFolder(async (cache) => {
    const folder = join(cache, "datasets");
    await Deno.mkdir(join(folder, "food-groups"), { recursive: true });
    await Deno.writeFile(join(folder, "cifar-10-binary.tar.gz.part"), new Uint8Array(5_200_000));
    await Deno.writeTextFile(join(folder, "Cat_Dog_data.zip"), "put by hand");
    const { code, stdout, stderr } = await data(cache);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^name +state +download +train \+ val +classes$/m);
    assert.match(stdout, /^food-groups +ready +6\.6 MB +211 \+ 60 +4$/m);
    assert.match(stdout, /^hymenoptera +not fetched +47\.3 MB +244 \+ 153 +2$/m);
    assert.match(stdout, /^catdog +to be unpacked +580 MB +22,500 \+ 2,500 +2$/m);
    assert.match(stdout, /^cifar10 +3% fetched +170 MB +50,000 \+ 10,000 +10$/m);
    assert.match(
      stdout,
      /^ {2}from {3}https:\/\/www\.cs\.toronto\.edu\/~kriz\/cifar-10-binary\.tar/m,
    );
    assert.match(stdout, /^ {2}terms {2}AGPL-3\.0$/m);
    assert.ok(stdout.includes(`  here   ${join(folder, "food-groups")}`), stdout);
    assert.ok(stdout.split("\n").every((line) => line.length <= 100), "fits into a terminal");
  }));

Deno.test("runData() refuses an unknown name with exit code 2 and the nearest one", () =>
  withTemporaryFolder(async (cache) => {
    const { code, stderr } = await data(cache, "cifar-10");
    assert.equal(code, 2);
    assert.match(stderr, /^error: Unknown data set "cifar-10": did you mean cifar10\?$/m);
  }));

Deno.test("runData() says where to put an archive when its server can't be reached", () =>
  withTemporaryFolder(async (cache) => {
    for (
      const [name, url] of [
        ["hymenoptera", "https://download.pytorch.org/tutorial/hymenoptera_data.zip"],
        ["catdog", "https://s3.amazonaws.com/content.udacity-data.com/nd089/Cat_Dog_data.zip"],
        ["cifar10", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
      ]
    ) {
      const { code, stdout, stderr } = await data(cache, name);
      assert.equal(code, 2, stderr);
      const place = join(cache, "datasets", url.split("/").at(-1)!);
      assert.ok(stderr.startsWith(`error: ${url} can't be fetched (`), stderr);
      assert.ok(stderr.includes(`: fetch ${url} by hand and put it at ${place}, or set data.root`));
      assert.match(stdout, new RegExp(`^images of ${name}: terms: no licence stated`, "m"));
    }
  }));

Deno.test("runData() refuses a wrong file that was put by hand, naming both hashes", () =>
  withTemporaryFolder(async (cache) => {
    await Deno.mkdir(join(cache, "datasets"));
    const place = join(cache, "datasets", "cifar-10-binary.tar.gz");
    await Deno.writeTextFile(place, "not it");
    const { code, stderr } = await data(cache, "cifar10");
    assert.equal(code, 2);
    assert.match(stderr, /MD5 is [0-9a-f]{32}, expected c32a1d4ab5d03f1284b67883e8d87530; remove/);
    assert.equal(await Deno.readTextFile(place), "not it");
  }));

Deno.test("runData() prints where data sets are that are ready", () =>
  withTemporaryFolder(async (cache) => {
    await Deno.mkdir(join(cache, "datasets", "cifar10"), { recursive: true });
    await Deno.mkdir(join(cache, "datasets", "catdog"), { recursive: true });
    const { code, stdout } = await data(cache, "cifar10", "catdog", "cifar10");
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `cifar10  ${join(cache, "datasets", "cifar10")}\ncatdog   ${
        join(cache, "datasets", "catdog")
      }\n`,
    );
  }));
