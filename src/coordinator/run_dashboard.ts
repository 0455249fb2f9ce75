/**
 * The dashboard that a run serves if the config asks for one.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { messageOf } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { RunEvents } from "../events/run_events.ts";

/**
 * Checks that the requested port is free, before any download or preparation.
 *
 * @throws {UsageError} when the port is taken, or the address isn't one of this machine
 */
export async function checkDashboard(
  { dashboard, out }: Pick<Config, "dashboard" | "out">,
): Promise<void> {
  if (typeof dashboard === "boolean") return;
  const { Dashboard } = await import("../dashboard/server.ts");
  await new Dashboard({ folder: out, ...dashboard })[Symbol.asyncDispose]();
}

/**
 * Serves the runs beside `folder`, that run first, and reports the address.
 *
 * @param events Gets the address, which may hold the token, as a notice: it is shown but not written to `run.log`
 * @returns `undefined` if the config asks for no dashboard
 * @throws {UsageError} when the requested port is taken
 */
export async function openDashboard(
  { dashboard }: Config,
  folder: string,
  events: Pick<RunEvents, "emit">,
): Promise<(AsyncDisposable & { readonly url: string }) | undefined> {
  if (dashboard === false) return undefined;
  const { Dashboard } = await import("../dashboard/server.ts");
  const path = resolve(await Deno.realPath(folder));
  const server = new Dashboard({
    folder: dirname(path),
    home: basename(path),
    ...(dashboard === true ? {} : dashboard),
    onError: (error) => {
      const message = `The dashboard failed to answer: ${messageOf(error)}`;
      events.emit({ type: "warning", message, kept: false });
    },
  });
  events.emit({ type: "notice", line: `Dashboard: ${server.url}` });
  return server;
}
