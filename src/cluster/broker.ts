/**
 * The nats-server that the coordinator runs for the duration of a training run.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:net";
import { join } from "node:path";
import { delay } from "../base/async.ts";
import { LockstepError, reasonOf, UsageError } from "../base/errors.ts";
import { naming, task } from "../base/invocation.ts";
import { removeAtStop } from "../base/signals.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { connectNats } from "../protocol/connection.ts";
import { describeExit, keepLines } from "./lines.ts";

/** Settings of a broker. */
export interface BrokerOptions {
  /** Path of the nats-server program. */
  readonly executable: string;
  /** Port to listen on; a free port unless set. */
  readonly port?: number;
  /** Authentication token of the clients; a new one unless set. */
  readonly token?: string;
  /** Address to listen on (default 127.0.0.1). */
  readonly host?: string;
  /** Called with each line that the server logs. */
  readonly onLine?: (line: string) => void;
}

/** The end of the server's process. */
export interface BrokerExit {
  readonly code: number;
  readonly signal: string | null;
}

const LOOPBACK = "127.0.0.1";
const ATTEMPTS = 5;
const READY_MS = 10_000;
const STOP_MS = 1_500;
const MAX_PAYLOAD = 8 * 1024 * 1024;
const MAX_PENDING = 1024 * 1024 * 1024;
const LINES_KEPT = 20;

/**
 * Shell script that becomes the server, beside a guard process. The guard ends the server when the script's
 * standard input closes, which happens when this process ends, even by SIGKILL.
 */
const GUARDED = `exec 3<&0
(trap '' HUP INT TERM; cat <&3 >/dev/null 2>&1; kill -TERM $$) >/dev/null 2>&1 &
exec "$0" --config "$1" 3<&- </dev/null`;

/**
 * Starts a nats-server that requires its token, and waits until it answers.
 *
 * @throws {UsageError} When the requested port is in use
 * @throws {LockstepError} When the program does not start or does not become ready
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const host = options.host ?? LOOPBACK;
  if (options.port !== undefined) await checkPort(options.port, host);
  for (let attempt = 1;; attempt++) {
    // Another program may take a free port before the server does; the next free port is tried then.
    const port = options.port ?? await freePort(host);
    const folder = Deno.makeTempDirSync({ prefix: "lockstep-nats-" });
    using _folder = removeAtStop(folder);
    try {
      const broker = await Broker.launch(options, { folder, host, port });
      try {
        await broker.ready();
        return broker;
      } catch (error) {
        await broker.stop();
        if (!broker.portTaken) throw error;
        if (options.port !== undefined) throw portInUse(port);
        if (attempt === ATTEMPTS) throw error;
      }
    } finally {
      // A server that answers has read its settings. The file with the token is no longer needed.
      await Deno.remove(folder, { recursive: true });
    }
  }
}

/**
 * Makes sure that a server can listen on a port.
 *
 * @throws {UsageError} When the port is in use
 */
export async function checkPort(port: number, host = LOOPBACK): Promise<void> {
  if (!await isFree(host, port)) throw portInUse(port);
}

/** A running nats-server; it ends when its scope ends. */
export class Broker implements NatsAddress {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
  /** Resolves when the server has ended, for any reason. */
  readonly exited: Promise<BrokerExit>;
  readonly #executable: string;
  readonly #process: Deno.ChildProcess;
  readonly #lines: string[] = [];
  readonly #output: Promise<void>;
  #ended = false;

  private constructor(
    process: Deno.ChildProcess,
    url: string,
    token: string,
    { executable, onLine }: BrokerOptions,
  ) {
    this.#executable = executable;
    this.#process = process;
    this.url = url;
    this.token = token;
    this.pid = process.pid;
    this.#output = keepLines(process.stderr, this.#lines, LINES_KEPT, onLine);
    this.exited = process.status.then(async ({ code, signal }) => {
      this.#ended = true;
      await process.stdin.close().catch(() => {}); // lets the guard go
      await this.#output;
      return { code, signal };
    });
  }

  /** Starts the program without waiting until it is ready. */
  static async launch(
    options: BrokerOptions,
    { folder, host, port }: { folder: string; host: string; port: number },
  ): Promise<Broker> {
    const token = options.token ?? randomUUID().replaceAll("-", "");
    try {
      const config = await writeServerConfig(folder, { host, port, token });
      const process = new Deno.Command("sh", {
        args: ["-c", GUARDED, options.executable, config],
        stdin: "piped",
        stdout: "null",
        stderr: "piped",
        detached: true, // Ctrl-C must not end it before the run has said its last words
      }).spawn();
      return new Broker(process, `nats://${host}:${port}`, token, options);
    } catch (error) {
      throw new LockstepError(
        `Cannot start nats-server ${options.executable} (${reasonOf(error)}): ` +
          `run "${task("setup")}", or name a running server with ${naming("nats.url")}`,
        { cause: error },
      );
    }
  }

  /** Tells whether the server ended because another program has its port. */
  get portTaken(): boolean {
    return this.#lines.some((line) => /address already in use/i.test(line));
  }

  /** Waits until the server accepts a connection. */
  async ready(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      try {
        const connection = await connectNats(this, { name: "lockstep check", timeoutMs: 1_000 });
        return await connection.close();
      } catch (error) {
        if (this.#ended) throw await this.#earlyExitError();
        if (performance.now() > deadline) throw error;
        await delay(20);
      }
    }
  }

  /** Stops the server within 2 s. */
  async stop(): Promise<void> {
    if (!this.#ended) {
      this.#process.kill("SIGTERM");
      const timer = setTimeout(() => !this.#ended && this.#process.kill("SIGKILL"), STOP_MS);
      await this.exited;
      clearTimeout(timer);
    }
    await this.exited; // it may be ending by itself
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #earlyExitError(): Promise<LockstepError> {
    const how = describeExit(await this.exited);
    const last = this.#lines.at(-1);
    return new LockstepError(
      `The nats-server ${this.#executable} ${how} before it answered` +
        `${last === undefined ? "" : ` (${last})`}: ` +
        `run "${task("setup")}", or name a running server with ${naming("nats.url")}`,
    );
  }
}

/**
 * Writes the server's settings to a file that only this user can read, since every user can see a process's
 * arguments.
 *
 * @returns Path of the file
 */
export async function writeServerConfig(
  folder: string,
  { host, port, token }: { host: string; port: number; token: string },
): Promise<string> {
  const path = join(folder, "nats.conf");
  await Deno.writeTextFile(path, configText(host, port, token), { mode: 0o600 });
  return path;
}

function configText(host: string, port: number, token: string): string {
  return [
    `host: "${host}"`,
    `port: ${port}`,
    `authorization { token: "${token}" }`,
    `max_payload: ${MAX_PAYLOAD}`,
    `max_pending: ${MAX_PENDING}`,
    `write_deadline: "10s"`,
    "",
  ].join("\n");
}

function portInUse(port: number): UsageError {
  return new UsageError(`Port ${port} is in use: choose another one, or leave it out`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, host, () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
