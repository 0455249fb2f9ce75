import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { AgentData } from "../../src/agent/agent_data.ts";
import { UsageError } from "../../src/base/errors.ts";
import { canShareMemory } from "../../src/base/shared_memory.ts";
import { type ConfigInput, configSchema } from "../../src/config/schema.ts";
import { openHostData } from "../../src/coordinator/preparation/host_data.ts";
import { ENTRIES_FOLDER } from "../../src/data/loading/disk_images.ts";
import { makeCertificate } from "../../src/hosts/own_certificate.ts";
import type { RemoteHost } from "../../src/hosts/remote_host.ts";
import type { Json } from "../../src/protocol/large_json.ts";
import { progressUntil } from "../../src/provision/progress.ts";
import { findImages, scanData } from "../../src/train/job.ts";
import { withVariables } from "../support/environment.ts";
import { copyFolder } from "../support/host_data.ts";
import { makeImages } from "../support/images.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

/** The data of a run whose coordinator and agent are this process; gives what its workers find. */
async function provided(
  { root, folder, tls = false, ...changes }: Pick<ConfigInput["data"], "hosts" | "cacheDir"> & {
    root: string;
    folder?: string | undefined;
    tls?: boolean;
    model?: ConfigInput["model"];
  },
): Promise<
  {
    root: string;
    paths: string[];
    info: string[];
    isShared: boolean;
    writable: unknown;
    cacheFolder: unknown;
  }
> {
  const { model, ...data } = changes;
  const tiny = tinyConfig(root);
  const config = configSchema.parse({
    ...tiny,
    ...(model ? { model } : {}),
    data: { ...tiny.data, ...data },
  });
  const dataset = await scanData(root, config);
  const listening = {
    ...{ host: "127.0.0.1", addresses: ["127.0.0.1"] },
    ...(tls ? { tls: await makeCertificate() } : {}),
  };
  const run = { config, dataset, job: { root }, listening } as unknown as Parameters<
    typeof openHostData
  >[0];
  await using open = (await openHostData(run, undefined))!;
  const info: string[] = [];
  using agent = new AgentData({
    ...{ hostName: "Host 1 (b)", folder, progress: progressUntil(undefined, () => {}) },
    onInfo: (message) => info.push(message),
    onWarning: (message) => info.push(message),
  });
  const call = async (name: string, args: Json) => {
    const given = JSON.parse(JSON.stringify(args));
    if (name === "manifestPart") agent.addPart(given.begin, given.part);
    else await agent.prepare(given);
  };
  await open.check({ call } as unknown as RemoteHost);
  const { jobHere } = agent;
  assert.ok(jobHere);
  const found = await findImages({ ...jobHere, config });
  assert.equal(found.fingerprint, dataset.fingerprint);
  return {
    ...{ root: found.root, paths: found.train.map(({ path }) => path), info },
    isShared: jobHere.samples !== undefined,
    writable: agent.writableFolder,
    cacheFolder: jobHere.cacheFolder,
  };
}

Deno.test("an agent has copies compared, fetches what it is to fetch, and gives its workers the list of the images", () =>
  withTemporaryFolder(async (folder) => {
    const own = join(folder, "own"), copy = join(folder, "copy");
    await makeImages(own, { train: 4, val: 1, side: 8 });
    await copyFolder(own, copy);
    const copied = await provided({ root: own, folder: copy });
    assert.equal(copied.root, copy);
    assert.equal(copied.paths.length, 12);
    assert.equal(copied.isShared, canShareMemory());
    assert.match(
      copied.info.join(),
      /^Images: ".*copy", the same 15 files as the coordinator's by path and size$/,
    );
    assert.match(
      (await provided({ root: own })).info.join(),
      /own", the coordinator's own folder$/,
    );

    {
      using _cache = withVariables({ LOCKSTEP_CACHE: join(folder, "cache") });
      for (const tls of [false, true]) {
        const fetched = await provided({ root: own, hosts: "fetch", tls });
        assert.ok(fetched.root.startsWith(join(folder, "cache/fetched/")), fetched.root);
        assert.deepEqual(fetched.paths, copied.paths);
        assert.match(fetched.info.join(), tls ? /, all in the cache$/ : /B fetched$/);
      }
    }

    // Decoded images are kept on this host, in a folder of its own; a folder of its images is refused.
    const keeping = await provided({ root: own, folder: copy, cacheDir: join(folder, "kept") });
    const place = join(folder, "kept", ENTRIES_FOLDER);
    assert.equal(keeping.writable, place);
    assert.equal((keeping.cacheFolder as { folder: string }).folder, place);
    await assert.rejects(provided({ root: own, folder: copy, cacheDir: join(copy, "kept") }), {
      message: /^data.cacheDir is ".*copy\/kept", a folder of the images/,
    });
    assert.equal(copied.writable, undefined);

    await Deno.remove(join(copy, "val/dark/0.jpg"));
    await assert.rejects(provided({ root: own, folder: copy }), (error) => {
      assert.ok(error instanceof UsageError);
      return /^Host 1 \(b\) has other files .*: 1 file is missing: "val\/dark\/0.jpg"/.test(
        error.message,
      );
    });
    const module = pathToFileURL(join(folder, "model.ts")).href;
    await Deno.writeTextFile(join(folder, "model.ts"), "export const createModel = 1;\n");
    const model = { name: "custom" as const, module };
    assert.equal((await provided({ root: own, model })).paths.length, 12);
  }));
