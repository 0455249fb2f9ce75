/**
 * A test that never ends, for a test that kills its runner: it holds a nats-server of its own, a training run with its
 * broker and worker, and a browser. `LOCKSTEP_TEST_READY` names the file that it writes when all of them stand.
 *
 * @module
 */
import { join } from "node:path";
import { browserPath, withPage } from "./browser.ts";
import { makeImages } from "./images.ts";
import { startPlainServer } from "./nats_server.ts";
import { withTemporaryFolder } from "./temporary_folder.ts";
import { startTrain, tinyConfig } from "./tiny_run.ts";

Deno.test("waits with servers, workers and a browser", () =>
  withTemporaryFolder(async (folder) => {
    await using _server = await startPlainServer();
    await makeImages(join(folder, "images"));
    const config = tinyConfig(join(folder, "images"), { train: { epochs: 100_000 } });
    await using run = await startTrain(folder, config);
    await run.seen(/epoch +2\//);
    const wait = async () => {
      await Deno.writeTextFile(Deno.env.get("LOCKSTEP_TEST_READY")!, "");
      await new Promise(() => setInterval(() => {}, 1000));
    };
    await (browserPath() ? withPage({}, wait) : wait());
  }));
