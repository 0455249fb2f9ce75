/**
 * Real archives in the formats of everyday: made whole, to be spoilt by the tests.
 *
 * @module
 */
import { gzipSync } from "node:zlib";
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from "@zip.js/zip.js";
import { packTar, type TarEntry } from "modern-tar";

/** Path → content; a path that ends with `/` is a folder. */
export type Files = Record<string, string | Uint8Array>;

/** A tar archive of files, with odd entries after them. */
export async function tarOf(files: Files, odd: readonly TarEntry[] = []): Promise<Uint8Array> {
  const entries = Object.entries(files).map(([name, content]): TarEntry => {
    const body = bytesOf(content);
    return name.endsWith("/")
      ? { header: { name, size: 0, type: "directory" } }
      : { header: { name, size: body.length }, body };
  });
  return await packTar([...entries, ...odd]);
}

/** Returns a gzipped tar archive of files, with odd entries after them. */
export async function tarGzOf(files: Files, odd?: readonly TarEntry[]): Promise<Uint8Array> {
  return new Uint8Array(gzipSync(await tarOf(files, odd)));
}

/** A zip archive of files. */
export async function zipOf(files: Files): Promise<Uint8Array> {
  const zip = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false });
  for (const [name, content] of Object.entries(files)) {
    if (name.endsWith("/")) await zip.add(name, undefined, { directory: true });
    else await zip.add(name, new Uint8ArrayReader(bytesOf(content)));
  }
  return await zip.close();
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}
