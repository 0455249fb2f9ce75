import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "@std/yaml";
import { validateConfig } from "../../src/config/load.ts";
import { keepWorkers } from "../../src/coordinator/state/keep_workers.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { tinyConfig } from "../support/tiny_run.ts";

Deno.test("keepWorkers() takes the number of a run to resume, unless workers or hosts.workers gives another", () =>
  withTemporaryFolder(async (folder) => {
    const saved = validateConfig(tinyConfig(folder, { workers: 4 }));
    await Deno.writeTextFile(join(folder, "config.yaml"), stringify(saved));
    const { workers: _, ...open } = saved;
    const workersOf = async (config: Parameters<typeof keepWorkers>[0], resumed?: string) =>
      (await keepWorkers(config, resumed)).workers;
    assert.equal(await workersOf(open, folder), 4);
    assert.equal(await workersOf(open), undefined);
    assert.equal(await workersOf({ ...saved, workers: 2 }, folder), 2);
    const hosts = { ...open.hosts, count: 2, workers: [1, 2] };
    assert.equal(await workersOf({ ...open, hosts }, folder), undefined);
  }));
