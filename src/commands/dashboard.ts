/**
 * `deno task dashboard`: shows the runs of a folder in the browser, those that go on live.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { exists } from "../base/paths.ts";
import { takeStopRequests } from "../base/signals.ts";
import { printable, say } from "../terminal/terminal_stream.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

const MAX_PORT = 65535;

/** `deno task dashboard`. */
export const COMMAND: TaskCommand = {
  name: "dashboard",
  title: "Show runs in the browser, live where they go on, and compare them",
  summary: "Show runs in the browser, live where they go on, and compare them.",
  permissions: "dashboard",
  flags: [
    { name: "runs", value: "DIR", help: "Folder of the runs (default: runs)" },
    {
      name: "port",
      short: "p",
      value: "P",
      help: "Port (default: 8470, or the next one that is free)",
    },
    {
      name: "host",
      value: "H",
      help: "Address to listen at (default: 127.0.0.1); another one asks for a token",
    },
    HELP_FLAG,
  ],
  examples: ["deno task dashboard", "deno task dashboard --runs /data/runs --port 9000"],
  run,
};

async function run(flags: Flags): Promise<number> {
  const folder = flags.text("runs") ?? "runs";
  if (!await exists(folder)) {
    throw new UsageError(
      `There is no folder ${folder}: train something first, or name the folder of your runs with --runs`,
    );
  }
  const port = flags.integer("port", 0);
  if (port !== undefined && port > MAX_PORT) {
    throw new UsageError(`--port is ${port}: give a port up to ${MAX_PORT}`);
  }
  const host = flags.text("host");
  const { Dashboard } = await import("../dashboard/server.ts");
  const stopped = Promise.withResolvers<void>();
  using _requests = takeStopRequests(() => stopped.resolve());
  await using dashboard = new Dashboard({
    folder,
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    onError: (error) => console.error(printable(Deno.inspect(error))),
  });
  say(`Dashboard of ${folder}: ${dashboard.url} (Ctrl-C ends it)`);
  await Promise.race([stopped.promise, dashboard.finished]);
  return 0;
}
