/**
 * A real nats-server for tests.
 *
 * @module
 */
import "./end_with_runner.ts";
import { type Broker, startBroker } from "../../src/hosts/broker.ts";
import { ensureNatsServer } from "../../src/provision/nats_server.ts";
import { Link, type LinkOptions } from "../../src/protocol/link.ts";
import { makeRunIdentity, type RunIdentity } from "../../src/protocol/subjects.ts";
import { delay } from "../../src/base/async.ts";

/** The server's program: `LOCKSTEP_NATS_SERVER`, else what `deno task setup` fetches. */
export async function natsServerProgram(): Promise<string> {
  const named = Deno.env.get("LOCKSTEP_NATS_SERVER");
  if (named) return named;
  return await ensureNatsServer(() => {});
}

/** A broker and a run on it; everything ends with the scope. */
export interface Rig extends AsyncDisposable {
  readonly broker: Broker;
  readonly run: RunIdentity;
  /** A connection that is closed with the rig. */
  open(from: string, options?: LinkOptions): Promise<Link>;
}

/** Starts a broker for one test. */
export async function startRig(): Promise<Rig> {
  const broker = await startBroker({ executable: await natsServerProgram() });
  const run = makeRunIdentity("test");
  const links: Link[] = [];
  return {
    broker,
    run,
    open: async (from, options) => {
      const link = await Link.open(broker, run, from, options);
      links.push(link);
      return link;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(links.map((link) => link.close()));
      await broker.stop();
    },
  };
}

/** A server as somebody else runs it. */
export interface PlainServer extends AsyncDisposable {
  readonly url: string;
  /** Sends it a signal, such as `SIGUSR2` for lame duck mode. */
  signal(name: Deno.Signal): void;
  /** Makes the server read other lines of config while it runs. */
  configure(text: string): Promise<void>;
}

/** Starts a server, on a free port unless one is given, with more lines of config. */
export async function startPlainServer(
  text = "",
  port = -1,
  options: Pick<Deno.CommandOptions, "cwd" | "env"> = {},
): Promise<PlainServer> {
  const folder = await Deno.makeTempDir();
  const ports = `${folder}/ports`;
  await Deno.mkdir(ports);
  const write = (lines: string, own: number) =>
    Deno.writeTextFile(
      `${folder}/nats.conf`,
      `host: "127.0.0.1"\nport: ${own}\nports_file_dir: "${ports}"\n${lines}\n`,
    );
  await write(text, port);
  const process = new Deno.Command(await natsServerProgram(), {
    ...options,
    args: ["--config", `${folder}/nats.conf`],
    stderr: "null",
  }).spawn();
  let isOver = false;
  process.status.then(() => isOver = true);
  const url = await firstUrl(ports);
  return {
    url,
    signal: (name) => process.kill(name),
    configure: async (lines) => {
      await write(lines, port);
      process.kill("SIGHUP");
    },
    [Symbol.asyncDispose]: async () => {
      if (!isOver) process.kill("SIGKILL");
      await process.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function firstUrl(folder: string): Promise<string> {
  for (let attempt = 0; attempt < 2_400; attempt++) {
    for await (const { name } of Deno.readDir(folder)) {
      const text = await Deno.readTextFile(`${folder}/${name}`);
      if (text.trim()) return (JSON.parse(text) as { nats: string[] }).nats[0];
    }
    await delay(25);
  }
  throw new Error("nats-server wrote no ports file within a minute");
}

/** A server without a token, and links to it that are closed with it; `server` may be replaced. */
export async function startPlainRig(config?: string) {
  const server = await startPlainServer(config);
  const run = makeRunIdentity("plain");
  const links: Link[] = [];
  const rig = {
    server,
    open: async (from: string) => {
      const link = await Link.open(rig.server, run, from);
      links.push(link);
      return link;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(links.map((link) => link.close()));
      await rig.server[Symbol.asyncDispose]();
    },
  };
  return rig;
}
