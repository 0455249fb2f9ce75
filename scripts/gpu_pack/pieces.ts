/**
 * A folder as compressed pieces with a manifest, and the script that joins them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { startChild } from "../children.ts";

/** Programs that compress, by name: each also decompresses, with `-dc`. */
export const COMPRESSORS = {
  xz: ["-T0", "-6", "-c"],
  zstd: ["-T0", "-12", "--long=27", "-q", "-c"],
  gzip: ["-9", "-c"],
} as const satisfies Record<string, readonly string[]>;

/** Name of a program that compresses. */
export type Compressor = keyof typeof COMPRESSORS;

/** A piece of a pack. */
export interface Piece {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Settings of a pack. */
export interface PackOptions {
  /** Folder for the pieces; it must be there. */
  readonly out: string;
  readonly pieceBytes: number;
  readonly compressor: Compressor;
  /** Facts for the manifest. */
  readonly facts: Readonly<Record<string, string>>;
  readonly onPiece?: (piece: Piece) => void;
}

/** Name of the manifest. Its lines are read by the unpack script: `key value`, and `piece NAME BYTES SHA256`. */
export const MANIFEST = "manifest.txt";
/** Name of the script that checks, joins and unpacks. */
export const UNPACK_SCRIPT = "unpack.sh";

const MAX_PIECES = 1000;

/**
 * Packs the content of a folder into pieces; symbolic links are followed.
 *
 * @throws {UsageError} when the pack has more pieces than their names can count
 * @throws {Error} when tar or the compressor fails
 */
export async function packFolder(
  folder: string,
  { out, pieceBytes, compressor, facts, onPiece }: PackOptions,
): Promise<Piece[]> {
  // Sorted, with one owner and time: the same content gives the same pieces.
  const tar = 'tar --sort=name --owner=0 --group=0 --mtime=@0 -chf - -C "$0" .';
  const child = startChild("bash", {
    args: ["-o", "pipefail", "-c", `${tar} | "$@"`, folder, compressor, ...COMPRESSORS[compressor]],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  });
  const pieces: Piece[] = [];
  for await (const piece of writePieces(child.stdout, out, pieceBytes)) {
    onPiece?.(piece);
    pieces.push(piece);
  }
  const { success, code } = await child.status;
  if (!success) throw new Error(`tar and ${compressor} ended with code ${code}`);
  const lines = [
    "lockstep-gpu-pack 1",
    `compressor ${compressor}`,
    ...Object.entries(facts).map(([key, value]) => `${key} ${value}`),
    ...pieces.map(({ name, bytes, sha256 }) => `piece ${name} ${bytes} ${sha256}`),
  ];
  await Deno.writeTextFile(join(out, MANIFEST), lines.join("\n") + "\n");
  const script = join(out, UNPACK_SCRIPT);
  await Deno.copyFile(new URL(UNPACK_SCRIPT, import.meta.url), script);
  await Deno.chmod(script, 0o755);
  return pieces;
}

async function* writePieces(
  stream: ReadableStream<Uint8Array>,
  out: string,
  pieceBytes: number,
): AsyncGenerator<Piece> {
  let number = 0;
  let open: { name: string; file: Deno.FsFile; hash: ReturnType<typeof createHash> } | undefined;
  let bytes = 0;
  const close = (): Piece => {
    const { name, file, hash } = open!;
    file.close();
    open = undefined;
    return { name, bytes, sha256: hash.digest("hex") };
  };
  for await (const chunk of stream) {
    for (let rest = chunk; rest.length > 0;) {
      if (!open) {
        if (number >= MAX_PIECES) {
          throw new UsageError("The pack has over 1000 pieces: make them larger");
        }
        const name = `piece.${String(number++).padStart(3, "0")}`;
        const file = await Deno.create(join(out, name));
        [open, bytes] = [{ name, file, hash: createHash("sha256") }, 0];
      }
      const part: Uint8Array = rest.subarray(0, pieceBytes - bytes);
      for (let left = part; left.length > 0;) {
        left = left.subarray(await open.file.write(left));
      }
      open.hash.update(part);
      bytes += part.length;
      rest = rest.subarray(part.length);
      if (bytes === pieceBytes) yield close();
    }
  }
  if (open) yield close();
}

/**
 * Returns the program that packs best among those that are on this machine.
 *
 * @throws {UsageError} when there is none
 */
export async function bestCompressor(): Promise<Compressor> {
  for (const name of Object.keys(COMPRESSORS) as Compressor[]) {
    try {
      const { success } = await new Deno.Command(name, {
        args: ["--version"],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).output();
      if (success) return name;
    } catch {
      // There is no such program.
    }
  }
  throw new UsageError(
    `There is none of ${Object.keys(COMPRESSORS).join(", ")} on PATH: install one of them`,
  );
}
