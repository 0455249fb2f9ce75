/**
 * The nats-server that the coordinator runs for the duration of a training run.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { delay } from "../base/async.ts";
import { LockstepError, messageOf, reasonOf, UsageError } from "../base/errors.ts";
import { given } from "../base/given.ts";
import { naming, task } from "../base/invocation.ts";
import { removeAtStop } from "../base/signals.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { connectNats } from "../protocol/connection.ts";
import type { Credentials } from "../protocol/credentials.ts";
import { announcingName, OWN_CERTIFICATE_NAME } from "../protocol/fingerprint.ts";
import { describeExit, keepLines } from "./lines.ts";
import { authorizationBlock, makeServerUsers, type ServerUsers } from "./server_users.ts";

/** Settings of a broker. */
export interface BrokerOptions {
  /** Path of the nats-server program. */
  readonly executable: string;
  /** Port to listen on; a free port unless set. */
  readonly port?: number;
  /** Id of the run whose subjects the users may use; those of all runs unless set. */
  readonly runId?: string;
  /** Users of the server; new ones unless set. */
  readonly users?: ServerUsers;
  /** Address to listen on (default 127.0.0.1). */
  readonly host?: string;
  /** Certificate and key of the server; it speaks no TLS without them, and nothing else with them. */
  readonly tls?: ServerCertificate;
  /** With TLS: the processes of this machine may do without, for whom nobody listens on the way. */
  readonly plainOnLoopback?: boolean;
  /** Called with each line that the server logs. */
  readonly onLine?: (line: string) => void;
}

/** The end of the server's process. */
export interface BrokerExit {
  readonly code: number;
  readonly signal: string | null;
}

/** A server's certificate and key, with what its clients need to know about them. */
export interface ServerCertificate {
  /** In PEM form, with those of intermediate authorities behind it. */
  readonly certificate: string;
  /** In PEM form. */
  readonly key: string;
  /** A name that the certificate is made out to. */
  readonly name: string;
  /** Authorities that vouch for it, in PEM form, if this machine doesn't know them; a self-made one vouches for itself. */
  readonly ca?: string;
}

const LOOPBACK = "127.0.0.1";
/** The addresses that stand for all of a machine's, and what this machine reaches itself by. */
const ANY_ADDRESS: Readonly<Record<string, string>> = { "0.0.0.0": LOOPBACK, "::": "::1" };
const ATTEMPTS = 5;
const READY_MS = 10_000;
const STOP_MS = 1_500;
const MAX_PAYLOAD = 8 * 1024 * 1024;
const MAX_PENDING = 1024 * 1024 * 1024;
const LINES_KEPT = 20;
/** Seconds for a client's TLS handshake; the server's own default of 2 is short on a busy machine. */
const HANDSHAKE_S = 10;

/**
 * Shell script that becomes the server, beside a guard process. When the script's standard input closes, which happens
 * when this process ends, even by SIGKILL, the guard ends the server, and removes the folder of its settings, which may
 * still be there.
 */
const GUARDED = `exec 3<&0
(trap '' HUP INT TERM; cat <&3 >/dev/null 2>&1; rm -rf -- "$2"; kill -TERM $$) >/dev/null 2>&1 &
exec "$0" --config "$1" 3<&- </dev/null`;

/**
 * Starts a nats-server that lets in its own users alone, and waits until it answers.
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
      // A server that answers has read its settings. Of one that has ended, the guard may be removing them now.
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/**
 * Makes sure that a server can listen on a port.
 *
 * @throws {UsageError} When the port is in use, or the address isn't this machine's
 */
// deno-lint-ignore require-await -- callers wait, whatever finds it out
export async function checkPort(port: number, host = LOOPBACK): Promise<void> {
  try {
    Deno.listen({ hostname: host, port }).close();
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw portInUse(port);
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UsageError(`This user may not listen at port ${port}: choose one from 1024 on`);
    }
    const isOther = error instanceof Deno.errors.AddrNotAvailable ||
      /lookup/.test(messageOf(error));
    throw new UsageError(
      isOther
        ? `${host} is no address of this machine: listen at one that is, or at 0.0.0.0 for all of them`
        : `Nobody can listen at ${host}, port ${port}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/** A running nats-server; it ends when its scope ends. */
export class Broker implements NatsAddress {
  readonly url: string;
  readonly users: ServerUsers;
  readonly own = true;
  readonly tlsName?: string;
  readonly ca?: string;
  readonly pid: number;
  /** Resolves when the server has ended, for any reason. */
  readonly exited: Promise<BrokerExit>;
  readonly #executable: string;
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #lines: string[] = [];
  readonly #output: Promise<void>;
  #ended = false;

  private constructor(
    process: Deno.ChildProcess,
    { url, name, users }: Pick<Broker, "url" | "users"> & { readonly name: string },
    { executable, onLine, tls }: BrokerOptions,
  ) {
    if (tls) this.tlsName = tls.name;
    if (tls?.ca !== undefined) this.ca = tls.ca;
    this.#executable = executable;
    this.#name = name;
    this.#process = process;
    this.url = url;
    this.users = users;
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
    const { users = makeServerUsers(), tls, plainOnLoopback = false } = options;
    const isSelfMade = tls?.name === OWN_CERTIFICATE_NAME;
    const name = announcingName(randomUUID(), isSelfMade ? tls.certificate : undefined);
    try {
      const authorization = authorizationBlock(users, options.runId);
      const settings = { name, host, port, authorization, plainOnLoopback, ...given("tls", tls) };
      const config = await writeServerConfig(folder, settings);
      const process = new Deno.Command("sh", {
        args: ["-c", GUARDED, options.executable, config, folder],
        stdin: "piped",
        stdout: "null",
        stderr: "piped",
        detached: true, // Ctrl-C must not end it before the run has said its last words
      }).spawn();
      const url = `${tls ? "tls" : "nats"}://${inUrl(ANY_ADDRESS[host] ?? host)}:${port}`;
      return new Broker(process, { url, name, users }, options);
    } catch (error) {
      throw new LockstepError(
        `Cannot start nats-server ${options.executable} (${reasonOf(error)}): ` +
          `run "${task("setup")}", or name a running server with ${naming("nats.url")}`,
        { cause: error },
      );
    }
  }

  /** The coordinator's credentials. */
  get credentials(): Credentials {
    return this.users.coordinator.credentials;
  }

  get workerCredentials(): Credentials {
    return this.users.worker.credentials;
  }

  /** Tells whether the server ended because another program has its port. */
  get portTaken(): boolean {
    return this.#lines.some((line) => /address already in use/i.test(line));
  }

  /** The last line that the server logged. */
  get lastLine(): string | undefined {
    return this.#lines.at(-1);
  }

  /** Ends the server at once. */
  kill(): void {
    if (!this.#ended) this.#process.kill("SIGKILL");
  }

  /** Waits until the server accepts a connection: it, and not a program that took its port. */
  async ready(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      try {
        const connection = await connectNats(this, { name: "lockstep check", timeoutMs: 1_000 });
        const isOwn = connection.info?.server_name === this.#name;
        await connection.close();
        if (isOwn) return;
        throw new LockstepError(`Another program answers at ${this.url}`);
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
      const timer = setTimeout(() => this.kill(), STOP_MS);
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
    const last = this.lastLine;
    return new LockstepError(
      `The nats-server ${this.#executable} ${how} before it answered` +
        `${last === undefined ? "" : ` (${last})`}: ` +
        `run "${task("setup")}", or name a running server with ${naming("nats.url")}`,
    );
  }
}

/**
 * Writes the server's settings to files that only this user can read.
 *
 * @returns Path of the file with the settings
 */
export async function writeServerConfig(
  folder: string,
  { tls, ...settings }: ServerSettings,
): Promise<string> {
  const write = async (name: string, text: string) => {
    const path = join(folder, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    return path;
  };
  const block = tls && tlsBlock({
    cert_file: await write("server.pem", tls.certificate),
    key_file: await write("server.key", tls.key),
  });
  return await write("nats.conf", configText(settings, block));
}

/** An address as it stands in a URL. */
function inUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The server's config format includes JSON. */
function tlsBlock(files: Readonly<Record<string, string>>): string {
  return `tls ${JSON.stringify({ ...files, timeout: HANDSHAKE_S, min_version: "1.3" })}`;
}

/** Settings in a server's config file. */
interface ServerSettings {
  /** A name that nobody knows before the server says it to its first client. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly authorization: string;
  readonly tls?: Pick<ServerCertificate, "certificate" | "key">;
  readonly plainOnLoopback?: boolean;
}

/** Monitoring endpoints, JetStream, clustering and leaf nodes are off unless a server's settings name them. */
function configText(
  { name, host, port, authorization, plainOnLoopback }: Omit<ServerSettings, "tls">,
  tls: string | undefined,
): string {
  return [
    `server_name: "${name}"`,
    `host: "${host}"`,
    `port: ${port}`,
    authorization,
    ...(tls === undefined ? [] : [tls]),
    // The server can't tell loopback: it is the clients that do without TLS there alone.
    ...(tls !== undefined && plainOnLoopback ? ["allow_non_tls: true"] : []),
    `max_payload: ${MAX_PAYLOAD}`,
    `max_pending: ${MAX_PENDING}`,
    `write_deadline: "10s"`,
    "",
  ].join("\n");
}

function portInUse(port: number): UsageError {
  return new UsageError(`Port ${port} is in use: choose another one, or leave it out`);
}

/** Returns a port of an address that nobody listens on. */
export function freePort(host: string): Promise<number> {
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
