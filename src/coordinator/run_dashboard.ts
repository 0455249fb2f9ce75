/**
 * The dashboard that a run serves of itself, where the config asks for it.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { messageOf } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { Reporter } from "../events/reporter.ts";

/**
 * Tries the port that was asked for, before anything is fetched or made.
 *
 * @throws {UsageError} when it is taken, or the address isn't one of this machine
 */
export async function checkDashboard({ dashboard, out }: Config): Promise<void> {
  if (typeof dashboard === "boolean") return;
  const { Dashboard } = await import("../dashboard/server.ts");
  await new Dashboard({ folder: out, ...dashboard })[Symbol.asyncDispose]();
}

/**
 * Serves the runs beside `folder`, that run first, and says where.
 *
 * @param say Shows the address, which may hold the token: to people, not to the run's log
 * @returns Nothing where the config doesn't ask for it
 * @throws {UsageError} when the port that was asked for is taken
 */
export async function openDashboard(
  { dashboard }: Config,
  folder: string,
  reporter: Reporter,
  say: (line: string) => void,
): Promise<AsyncDisposable | undefined> {
  if (dashboard === false) return undefined;
  const { Dashboard } = await import("../dashboard/server.ts");
  const path = resolve(await Deno.realPath(folder));
  const server = new Dashboard({
    folder: dirname(path),
    home: basename(path),
    ...(dashboard === true ? {} : dashboard),
    onError: (error) => reporter.warn(`The dashboard failed to answer: ${messageOf(error)}`),
  });
  say(`Dashboard: ${server.url}`);
  return server;
}
