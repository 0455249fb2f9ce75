/**
 * Small disks to fill, and to make read-only.
 *
 * @module
 */
import { join } from "node:path";

/** A file system of its own. */
export interface SmallDisk extends AsyncDisposable {
  /** The folder in which the file system is mounted. */
  readonly folder: string;
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  /** Mounts a folder over itself, read-only: files that are open can still be written, as nothing can forbid that. */
  seal(folder: string): void;
  /** Takes that back. */
  unseal(folder: string): void;
}

/**
 * Mounts a file system in memory at a new folder below `folder`.
 *
 * @returns Nothing, after printing why, where this user may not mount
 */
export async function mountSmallDisk(
  folder: string,
  mebibytes: number,
): Promise<SmallDisk | undefined> {
  const path = join(folder, "small-disk");
  await Deno.mkdir(path);
  const mount = (...args: string[]) => new Deno.Command("mount", { args }).output();
  const options = ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "lockstep-test", path];
  const { success, stderr } = await mount(...options).catch((error) => ({
    success: false,
    stderr: new TextEncoder().encode(String(error)),
  }));
  if (!success) {
    console.log(`skipped: no small disk can be mounted: ${new TextDecoder().decode(stderr)}`);
    return undefined;
  }
  const filler = join(path, "filler");
  return {
    folder: path,
    fill: () => {
      using file = Deno.openSync(filler, { create: true, append: true });
      for (let size = 2 ** 20; size > 0;) {
        try {
          if (file.writeSync(new Uint8Array(size)) < size) size >>= 1;
        } catch {
          size >>= 1;
        }
      }
    },
    free: () => Deno.removeSync(filler),
    seal: (folder) => {
      mountNow("mount", "--bind", folder, folder);
      mountNow("mount", "-o", "remount,bind,ro", folder);
    },
    unseal: (folder) => mountNow("umount", "-l", folder),
    [Symbol.asyncDispose]: async () => {
      await new Deno.Command("umount", { args: ["-l", path] }).output();
    },
  };
}

function mountNow(program: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
