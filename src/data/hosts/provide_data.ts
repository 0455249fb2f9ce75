/**
 * A run's images on a host other than the coordinator's: checked or fetched before its workers start.
 *
 * @module
 */
import { LockstepError, messageOf } from "../../base/errors.ts";
import { formatBytes, groupedCount } from "../../base/format.ts";
import { given } from "../../base/given.ts";
import { canShareMemory } from "../../base/shared_memory.ts";
import { quotedPath } from "../../base/called_paths.ts";
import { type SharedTable, shareTable, type TablePlace } from "../datasets/shared_table.ts";
import { checkManifest } from "./check_manifest.ts";
import { type FetchedData, fetchFiles } from "./fetch_files.ts";
import type { FileSource } from "./file_source.ts";
import { hostRoot, type HostRootOptions } from "./host_root.ts";
import type { HostDataConfig, Manifest } from "./manifest.ts";

/** Options of {@linkcode provideData}. */
export interface ProvideOptions extends HostRootOptions {
  readonly data: HostDataConfig & HostRootOptions["data"];
  /** The coordinator's file server, where `data.hosts` is `fetch`. */
  readonly source?: FileSource | undefined;
}

/** A host's data, which workers can use until this is disposed of. */
export interface ProvidedData extends Disposable {
  /** The parts of a job that are others on this host: the folder of the images, and their list in its memory. */
  readonly jobHere: { root: string; samples?: TablePlace };
  /** Describes what was done, for messages. */
  readonly note: string;
}

/**
 * Makes sure that a host has the images of a manifest, and shares their list with its workers.
 *
 * @throws {UsageError} naming the host, when its files differ, or there is no room for them
 * @throws {LockstepError} when they can't be fetched
 */
export async function provideData(
  manifest: Manifest,
  options: ProvideOptions,
): Promise<ProvidedData> {
  const { data, source, hostName, progress } = options;
  if (data.hosts === "fetch") {
    if (!source) throw new LockstepError("The coordinator named no server of the images");
    const limit = data.hostCacheBytes;
    const fetched = await fetchFiles(manifest, source, { limit, hostName, progress });
    return shared(manifest, fetched.root, noteOf(manifest, fetched), fetched);
  }
  const root = await hostRoot(options);
  const { isShared } = await checkManifest(manifest, root, hostName, progress.signal);
  const files = groupedCount(manifest.table.length, "file");
  const note = manifest.kind === "module"
    ? `Samples of ${root}`
    : isShared
    ? `Images: ${quotedPath(root)}, the coordinator's own folder`
    : `Images: ${quotedPath(root)}, the same ${files} as the coordinator's by path and ${
      manifest.hasHashes ? "content" : "size"
    }`;
  return shared(manifest, root, note);
}

function shared(
  manifest: Manifest,
  root: string,
  note: string,
  held?: Disposable,
): ProvidedData {
  let table: SharedTable | undefined, addition = "";
  try {
    if (manifest.kind === "images" && canShareMemory()) table = shareTable(manifest.table);
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    addition = `; each worker makes their list, as it can't be shared: ${messageOf(error)}`;
  }
  return {
    jobHere: { root, ...given("samples", table?.place) },
    note: note + addition,
    [Symbol.dispose]: () => {
      table?.[Symbol.dispose]();
      held?.[Symbol.dispose]();
    },
  };
}

function noteOf({ totalBytes, table }: Manifest, { root, fetchedBytes }: FetchedData): string {
  const came = fetchedBytes === 0 ? "all in the cache" : `${formatBytes(fetchedBytes)} fetched`;
  return `Images: ${groupedCount(table.length, "file")} (${
    formatBytes(totalBytes)
  }) of the coordinator in ${quotedPath(root)}, ${came}`;
}
