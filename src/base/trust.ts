/**
 * The record of what this user has run: programs and servers that a run folder may name without asking again.
 *
 * Each entry is a file in the cache or in the folder that `LOCKSTEP_TRUSTED` names, called by a hash of what it stands for, so that processes never write the same one
 * differently.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { cacheFolder, exists, writeFileAtomically } from "./paths.ts";

/** Names the folder of the record, where it isn't the cache's `trusted/`. */
export const TRUSTED_VARIABLE = "LOCKSTEP_TRUSTED";

/** An entry of the list of trust: a module's URL and SHA-256, or a server's `host:port`. */
export type Trusted =
  | { readonly kind: "module"; readonly url: string; readonly sha256: string }
  | { readonly kind: "server"; readonly server: string };

/** Tells whether {@linkcode trust} was called for the same by this user. */
export async function isTrusted(what: Trusted): Promise<boolean> {
  return await exists(pathOf(what));
}

/** Puts a module or a server on record. */
export async function trust(what: Trusted): Promise<void> {
  if (await isTrusted(what)) return;
  await Deno.mkdir(folder(), { recursive: true });
  const entry = { ...what, time: new Date().toISOString() };
  await writeFileAtomically(pathOf(what), JSON.stringify(entry) + "\n");
}

function folder(): string {
  return Deno.env.get(TRUSTED_VARIABLE) || join(cacheFolder(), "trusted");
}

function pathOf(what: Trusted): string {
  const parts = what.kind === "module"
    ? [what.kind, what.url, what.sha256]
    : [what.kind, what.server];
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return join(folder(), `${hash}.json`);
}
