/**
 * Starts a run of a comparison in a process of its own: whatever happens to it, the others go on.
 *
 * @module
 */
import { type OwnProgram, programCommand } from "../base/programs.ts";
import type { LoadedConfig } from "../config/schema.ts";
import { describeExit, keepLines, readLines } from "../hosts/lines.ts";
import { withCredentials } from "../protocol/address.ts";
import type { Reporter } from "../events/reporter.ts";
import { decodeMessage, type MemberSettings, type Outcome, STOP } from "./member_messages.ts";

/** With the rights of `deno task train`, for the reasons that docs/permissions.md gives. */
const MEMBER: OwnProgram = { entry: "workers/compare_run.ts", permissions: "train" };

const MAX_MESSAGE = 2 ** 20;
const LINES_KEPT = 20;

/** Options of a run's process. */
export interface MemberProcessOptions {
  /** Additional environment variables. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Ends the run at its next step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs one training to its end.
 *
 * @param reporter Told what the run's own reporter is told
 * @returns How it ended; never throws for what the process does
 */
export async function runMemberProcess(
  settings: MemberSettings,
  reporter: Reporter,
  { variables = {}, signal }: MemberProcessOptions = {},
): Promise<Outcome> {
  const process = programCommand(MEMBER, {
    env: { ...variables },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = process.stdin.getWriter();
  const tell = (line: string) => stdin.write(new TextEncoder().encode(line + "\n")).catch(() => {}); // its end says more
  tell(JSON.stringify({ ...settings, config: withServer(settings.config) }));
  const stop = () => void tell(STOP);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  const errors: string[] = [];
  const loud = settings.verbose ? (line: string) => reporter.info(line) : undefined;
  try {
    const [outcome] = await Promise.all([
      listen(process.stdout, reporter, loud),
      keepLines(process.stderr, errors, LINES_KEPT, loud),
    ]);
    const status = await process.status;
    return outcome ?? {
      status: "failed",
      message: [`The run's process ${describeExit(status)}`, ...errors].join("\n"),
    };
  } finally {
    signal?.removeEventListener("abort", stop);
    await stdin.close().catch(() => {}); // the process is gone, and its pipe with it
  }
}

/** Passes on what the process tells, up to how it ended. */
async function listen(
  stdout: ReadableStream<Uint8Array>,
  reporter: Reporter,
  loud?: (line: string) => void,
): Promise<Outcome | undefined> {
  let outcome: Outcome | undefined;
  for await (const line of readLines(stdout, MAX_MESSAGE)) {
    const message = decodeMessage(line);
    if (!message) loud?.(line);
    else if ("end" in message) outcome = message.end;
    else {
      const method = Reflect.get(reporter, message.call);
      if (typeof method === "function") method.apply(reporter, message.args);
    }
  }
  return outcome;
}

/** A config as the process needs it, whose standard input nobody else reads: with the credentials of its server. */
function withServer(config: LoadedConfig): LoadedConfig {
  const { nats } = config;
  return nats.url ? { ...config, nats: { ...nats, url: withCredentials(nats.url) } } : config;
}
