/**
 * A process that fetches the files of CIFAR-10's folder, for tests that kill it.
 *
 * @module
 */
import { fetchFiles } from "../../src/data/hosts/fetch_files.ts";
import { progressUntil } from "../../src/provision/progress.ts";
import { manifestOf } from "./host_data.ts";

const [root = "", source = "", folder = ""] = Deno.args;
const manifest = await manifestOf(root, { hosts: "fetch", format: "cifar10" });
await fetchFiles(manifest, JSON.parse(source), {
  ...{ folder, limit: 1e9, hostName: "Host 1 (b)", progress: progressUntil(undefined, () => {}) },
});
