/**
 * A temporary folder in memory, where there is one: fuzzers make thousands of files.
 *
 * @module
 */

/** Makes a folder, which is removed when it is disposed of. */
export async function memoryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const prefix = "lockstep-fuzz-";
  const path = await Deno.makeTempDir({ dir: "/dev/shm", prefix }).catch(() =>
    Deno.makeTempDir({ prefix })
  );
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
