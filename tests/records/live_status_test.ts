import assert from "node:assert/strict";
import { join } from "node:path";
import { LIVE_FILE, writeLiveStatus } from "../../src/records/live_status.ts";
import { madeStatus } from "../support/made_run.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("writeLiveStatus() leaves no temporary file where it can't write", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.mkdir(join(folder, LIVE_FILE, "in the way"), { recursive: true });
    await assert.rejects(writeLiveStatus(folder, madeStatus()));
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
    assert.deepEqual(names, [LIVE_FILE]);
  }));
