/**
 * Manifests of folders, and a server of their files, for tests of data on several hosts.
 *
 * @module
 */
import { scanImages } from "../../src/data/datasets/scan_images.ts";
import {
  type HostDataConfig,
  makeManifest,
  type Manifest,
  packManifest,
  unpackManifest,
} from "../../src/data/hosts/manifest.ts";

/** Defaults of the config, for a coordinator that is called `a`. */
export const HOST_DATA: HostDataConfig = {
  ...{ hosts: "copy", verify: "sizes", hostCacheBytes: 1e9, valFraction: null },
};

/** The manifest of a folder as another host gets it. */
export async function manifestOf(
  root: string,
  data: Partial<HostDataConfig> & { format?: "cifar10" } = {},
): Promise<Manifest> {
  const { format = "imageFolder", ...others } = data;
  const set = await scanImages(root, { format, valFraction: data.valFraction });
  const settings = { ...HOST_DATA, ...others };
  const manifest = await makeManifest(set, { data: settings, hostname: "a" });
  return await unpackManifest(await packManifest(manifest));
}

/** Copies a folder with all that is in it, with other times of change. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(`${from}/${name}`, `${to}/${name}`);
    else await Deno.writeFile(`${to}/${name}`, await Deno.readFile(`${from}/${name}`));
  }
}
