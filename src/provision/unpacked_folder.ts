/**
 * The folder that an archive is unpacked into: it takes files and folders that stay inside of it, up to a
 * number and an amount, and refuses everything else by name.
 *
 * @module
 */
import { groupThousands } from "../base/format.ts";
import { dirname, join } from "node:path";
import { reasonOf, UsageError } from "../base/errors.ts";
import { describeSystemError, isDiskError } from "../base/system_errors.ts";

/** The limits of an archive's content. */
export interface ArchiveLimits {
  /** Files and folders. */
  readonly maxEntries: number;
  /** Bytes of all files together. */
  readonly maxBytes: number;
}

/** The kind of an archive's entry; only files and folders are taken. */
export type EntryKind =
  | "file"
  | "folder"
  | "symbolic link"
  | "hard link"
  | "device"
  | "pipe"
  | "sparse file"
  | "encrypted file";

/** One entry of an archive, on its way out. */
export interface ArchiveEntry {
  /** As the archive has it, with `/` between names. */
  readonly name: string;
  readonly kind: EntryKind;
  /** Size of the file as the archive states it: what comes may be something else. */
  readonly bytes: number;
  /** Sends the file's bytes, in order. */
  readonly copy: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>;
}

/** An archive that contradicts itself, or can't be stored; the message names archive and entry. */
export class ArchiveError extends UsageError {
  override name = "ArchiveError";
}

/** macOS keeps what other systems have no place for in this folder; it is no part of the content. */
const MAC_EXTRAS = "__MACOSX";

/** A new folder, filled from an archive of unknown origin. */
export class UnpackedFolder {
  readonly #folder: string;
  readonly #archive: string;
  readonly #limits: ArchiveLimits;
  #entries = 0;
  #bytes = 0;

  /**
   * @param folder A folder that is new and empty: nothing in it may be a link
   * @param archive For messages
   */
  constructor(folder: string, archive: string, limits: ArchiveLimits) {
    this.#folder = folder;
    this.#archive = archive;
    this.#limits = limits;
  }

  /**
   * Writes one entry.
   *
   * @throws {ArchiveError} when it is no plain file or folder, would lie outside, is there twice, or is more
   * than the limits allow
   */
  async take({ name, kind, bytes, copy }: ArchiveEntry): Promise<void> {
    const { maxEntries, maxBytes } = this.#limits;
    if (++this.#entries > maxEntries) {
      this.refuse(
        name,
        `is one more than the ${groupThousands(maxEntries)} entries that are unpacked`,
      );
    }
    if (kind !== "file" && kind !== "folder") {
      this.refuse(
        name,
        `is ${
          /^[aeiou]/.test(kind) ? "an" : "a"
        } ${kind}, and only plain files and folders are unpacked`,
      );
    }
    const parts = this.#safeParts(name);
    if (parts.includes(MAC_EXTRAS)) return;
    if (this.#bytes + bytes > maxBytes) this.#refuseBytes(name);
    const path = join(this.#folder, ...parts);
    try {
      if (kind === "folder") return await Deno.mkdir(path, { recursive: true });
      if (parts.length === 0) this.refuse(name, "is a file without a name");
      await Deno.mkdir(dirname(path), { recursive: true });
      using file = await Deno.open(path, { write: true, createNew: true });
      await copy(async (chunk) => {
        this.#bytes += chunk.length;
        if (this.#bytes > maxBytes) this.#refuseBytes(name);
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      });
    } catch (error) {
      if (error instanceof ArchiveError || isDiskError(error)) throw error;
      if (error instanceof Deno.errors.AlreadyExists) {
        this.refuse(name, "is in it twice (or as a file and as a folder)");
      }
      if (describeSystemError(error)) {
        this.refuse(name, `can't be written: ${reasonOf(error)}`);
      }
      this.refuse(name, `is cut short or damaged (${reasonOf(error)}): fetch the archive again`);
    }
  }

  /** Ends the unpacking because of one entry. */
  refuse(entry: string, why: string): never {
    throw new ArchiveError(
      `The archive ${this.#archive} can't be used: its entry ${
        JSON.stringify(truncatedName(entry))
      } ${why}`,
    );
  }

  #refuseBytes(name: string): never {
    this.refuse(
      name,
      `makes it unpack to more than ${
        groupThousands(this.#limits.maxBytes)
      } bytes, the most that is unpacked: ` +
        "if you trust it, unpack it by hand and name the folder as data.root",
    );
  }

  /** Names of the folders above and of the entry itself; an entry that would leave the folder is refused. */
  #safeParts(name: string): string[] {
    const parts = name.split(/[\\/]/);
    if (parts.includes("..")) this.refuse(name, 'leads out of the folder with ".."');
    if (parts[0] === "" && name !== "") this.refuse(name, "has an absolute path");
    if (/^[a-z]:/i.test(name)) this.refuse(name, "begins with a drive letter");
    if (name.includes("\0")) this.refuse(name, "has a zero byte in its name");
    return name.split("/").filter((part) => part !== "" && part !== ".");
  }
}

function truncatedName(name: string): string {
  return name.length <= 200 ? name : `${name.slice(0, 200)}…`;
}
