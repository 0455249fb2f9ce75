/**
 * Makes what a Lockstep of today writes as the one before wrote it.
 *
 * @module
 */
import { join } from "node:path";
import { parse, stringify } from "@std/yaml";

/** Writes a checkpoint's description anew in version 2, without a digest and without the config. */
export async function writeVersion2(folder: string): Promise<void> {
  const file = join(folder, "checkpoint.json");
  const { digest: _, config: __, ...info } = JSON.parse(await Deno.readTextFile(file));
  const json = JSON.stringify({ ...info, checkpointVersion: 2 }, null, 2) + "\n";
  await Deno.writeTextFile(file, json);
}

/** Makes a run's folder one of version 2: `seed` decided its split, and nothing kept what its files were. */
export async function makeVersion2Run(run: string): Promise<void> {
  const checkpoints = join(run, "checkpoints");
  for await (const { name, isDirectory } of Deno.readDir(checkpoints)) {
    if (isDirectory) await writeVersion2(join(checkpoints, name));
  }
  const file = join(run, "config.yaml");
  const config = parse(await Deno.readTextFile(file)) as {
    data: Record<string, unknown>;
    train: Record<string, unknown>;
  };
  delete config.data.splitSeed;
  delete config.train.dropLast;
  await Deno.writeTextFile(file, stringify(config));
  await Deno.remove(join(run, "data-files.jsonl.gz"));
}
