/**
 * Hosts of a network on one machine: each has network, process, mount, IPC and host name namespaces of its own, and a
 * cable to a switch, shaped to a rate in both directions. Segments of another host can't be opened through `/proc`.
 *
 * The switch is a bridge in a namespace too. Process 1 of each namespace reads a pipe of the test: when the test ends in
 * whatever way, the pipe ends, the kernel kills everything in the namespaces, and removes cables and mounts. Nothing has
 * a name outside (`ip netns` shows nothing).
 *
 * @module
 */
import { cacheFolder } from "../../src/base/paths.ts";
import "./end_with_runner.ts";
import { join } from "node:path";
import { type CommandResult, startProcess, type TrainProcess } from "./tiny_run.ts";

const RELAY = new URL("link_relay.ts", import.meta.url).pathname;
const SUBNET = "10.77.0";
/** The name of a host's end of its cable. */
export const INTERFACE = "eth0";
const NAMESPACES = ["--net", "--mount", "--pid", "--uts", "--ipc"];
/** Longest wait for process 1 of a namespace, or for the relay. */
const START_MS = 60_000;

/** The cable between a host and the switch. Each property holds for both directions. */
export interface Cable {
  /** Rate of the frames; as fast as the machine can, if not given. */
  readonly rateMbit?: number;
  /** Delay on the way from host to switch, and again on the way back. */
  readonly delayMs?: number;
  /** Part of the frames that is lost, from 0 to 1. */
  readonly lossRate?: number;
}

/** Options of {@linkcode startHosts}. */
export interface HostsOptions extends Cable {
  /** A folder of the test. `shared` in it is seen by all hosts at the same path; `hostN` is host N's `/tmp`. */
  readonly folder: string;
  /** More paths below `/tmp` that hosts see where they are, such as that of a program. */
  readonly visible?: readonly string[];
  /** Pass frames through the relay even without delay and loss, so that {@linkcode Hosts.setCable} can change them. */
  readonly relay?: boolean;
  /** Make the namespaces as a user without rights would. By default only where that is necessary. */
  readonly userNamespace?: boolean;
}

/** A host. */
export interface Host {
  readonly index: number;
  readonly name: string;
  readonly address: string;
  /** Its `/tmp`, as the test sees it. */
  readonly folder: string;
  /** Prefix of a command that runs in the host. */
  readonly enter: readonly string[];
}

/** The hosts and their switch; all of them end with the scope. */
export interface Hosts extends AsyncDisposable {
  readonly hosts: readonly Host[];
  /** The folder that all hosts see at the same path. */
  readonly shared: string;
  /** Starts a command on a host. A signal reaches the command; it dies with the test. */
  start(
    host: number,
    command: readonly string[],
    options?: Pick<Deno.CommandOptions, "cwd" | "env" | "stdin">,
  ): TrainProcess;
  /** Runs a command on a host to its end. */
  run(
    host: number,
    command: readonly string[],
    options?: Pick<Deno.CommandOptions, "cwd" | "env">,
  ): Promise<CommandResult>;
  /** Pulls a host's cable out of the switch: its frames go nowhere, without an error. */
  part(host: number): Promise<void>;
  /** Puts the cable back. */
  heal(host: number): Promise<void>;
  /** Makes frames between two hosts vanish, as a firewall that drops them does. Both reach others. */
  block(host: number, other: number): Promise<void>;
  /** Takes {@linkcode Hosts.block} back. */
  unblock(host: number, other: number): Promise<void>;
  /** Kills all processes of a host at once, and removes its cable, as a loss of power does. */
  kill(host: number): Promise<void>;
  /** Starts a host that was killed again, with the same name, address and folder. */
  restart(host: number): Promise<void>;
  /** Changes delay and loss of a cable that goes through the relay. */
  setCable(host: number, cable: Pick<Cable, "delayMs" | "lossRate">): Promise<void>;
}

/** Tries what hosts need, within namespaces that are gone afterwards. */
const TRIAL = [
  "mount -t tmpfs tmpfs /dev/shm",
  "hostname trial",
  "ip link add trial0 type veth peer name trial1",
  "ip link add trialbr type bridge",
  "tc qdisc add dev trial0 root tbf rate 1mbit burst 32kb latency 50ms",
].join(" && ");
const RELAY_TRIAL = "ip tuntap add dev trialtap mode tap";

/**
 * Returns why this machine can't have hosts in namespaces, or nothing where it can.
 *
 * @param relay Whether the relay is needed too, for delay and loss
 */
export function cannotUseNamespaces({ relay = false } = {}): string | undefined {
  if (Deno.build.os !== "linux") return "namespaces are Linux's";
  const asRoot = trial(relay, false);
  return asRoot === undefined ? undefined : trial(relay, true) && asRoot;
}

function trial(relay: boolean, userNamespace: boolean): string | undefined {
  const script = relay ? `${TRIAL} && ${RELAY_TRIAL}` : TRIAL;
  const [program, ...args] = unshare(userNamespace, [
    ...NAMESPACES,
    ...["--fork", "--kill-child", "--mount-proc"],
    ...["setpriv", "--pdeathsig", "KILL", "sh", "-c", script],
  ]);
  try {
    const { success, stderr } = new Deno.Command(program!, { args }).outputSync();
    return success ? undefined : new TextDecoder().decode(stderr).trim().split("\n").at(-1)!;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no unshare";
    throw error;
  }
}

function unshare(userNamespace: boolean, args: readonly string[]): string[] {
  return ["unshare", ...(userNamespace ? ["--user", "--map-root-user"] : []), ...args];
}

/** The checkout, which may be below /tmp. */
const PROJECT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** Process 1 of a host: mounts, says so, and waits for the end of the test. Arguments: name, its `/tmp`, shared folders. */
const HOST_SCRIPT = `set -e
hostname "$1"
ip link set lo up
mount -t tmpfs tmpfs /dev/shm
own="$2"
shift 2
for path in "$@"; do
  case "$path" in /tmp/*) [ -e "$path" ] || continue; at="$own/\${path#/tmp/}"; mkdir -p "$at"; mount --bind "$path" "$at";; esac
done
mount --rbind "$own" /tmp
echo ready
while read -r line; do :; done
exit 0`;

const SWITCH_SCRIPT = `set -e
ip link add switch type bridge
ip link set switch up
ip link set lo up
echo ready
while read -r line; do :; done
exit 0`;

/** A process that reads a pipe of the test, and ends with it. */
class Keeper {
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.pid = process.pid;
  }

  static async start([program, ...args]: readonly string[]): Promise<Keeper> {
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    const process = new Deno.Command(program!, options).spawn();
    const reader = process.stdout.getReader();
    const timer = setTimeout(() => process.kill("SIGKILL"), START_MS);
    const { value } = await reader.read();
    clearTimeout(timer);
    await reader.cancel();
    if (value) return new Keeper(process);
    await process.status;
    throw new Error(`${program} ${args.slice(0, 8).join(" ")} … ended before it was ready`);
  }

  async send(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${text}\n`));
  }

  async kill(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
    await this.#input.abort().catch(() => {});
    await this.#process.status;
  }
}

/** Starts hosts that reach each other over a switch. */
export async function startHosts(count: number, options: HostsOptions): Promise<Hosts> {
  const network = await Network.start(options);
  try {
    for (let index = 0; index < count; index++) await network.add(index);
  } catch (error) {
    await network[Symbol.asyncDispose]();
    throw error;
  }
  return network;
}

class Network implements Hosts {
  readonly hosts: Host[] = [];
  readonly shared: string;
  readonly #options: HostsOptions;
  readonly #userNamespace: boolean;
  readonly #switch: Keeper;
  readonly #keepers: (Keeper | undefined)[] = [];
  readonly #relays: (Keeper | undefined)[] = [];

  private constructor(options: HostsOptions, userNamespace: boolean, keeper: Keeper) {
    this.#options = options;
    this.#userNamespace = userNamespace;
    this.#switch = keeper;
    this.shared = join(options.folder, "shared");
  }

  static async start(options: HostsOptions): Promise<Network> {
    await Deno.mkdir(join(options.folder, "shared"), { recursive: true });
    const userNamespace = options.userNamespace ?? trial(false, false) !== undefined;
    const script = ["--net", "bash", "-c", SWITCH_SCRIPT];
    return new Network(options, userNamespace, await Keeper.start(unshare(userNamespace, script)));
  }

  async add(index: number): Promise<void> {
    const name = `host${index}`;
    const address = `${SUBNET}.${index + 1}`;
    const folder = join(this.#options.folder, name);
    await Deno.mkdir(folder, { recursive: true });
    const keeper = await Keeper.start([
      ...this.#enterSwitch(),
      ...["unshare", ...NAMESPACES, "--fork", "--kill-child", "--mount-proc"],
      ...["bash", "-c", HOST_SCRIPT, "bash", name, folder, this.shared],
      ...[PROJECT, cacheFolder(), ...this.#options.visible ?? []],
    ]);
    this.#keepers[index] = keeper;
    this.hosts[index] = { index, name, address, folder, enter: this.#enterHost(keeper.pid) };
    await this.#connect(index, keeper.pid, address);
  }

  /** Lays the cable from the switch to a host. */
  async #connect(index: number, pid: number, address: string): Promise<void> {
    const { rateMbit, delayMs = 0, lossRate = 0, relay } = this.#options;
    const port = portOf(index);
    if (relay || delayMs > 0 || lossRate > 0) {
      const args = [port, `${port}x`, String(delayMs), String(lossRate)];
      this.#relays[index] = await Keeper.start([
        ...this.#enterSwitch(),
        ...[Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", RELAY, ...args],
      ]);
      await this.#inSwitch(`ip link set ${port}x netns ${pid} name ${INTERFACE}`);
    } else {
      await this.#inSwitch(`ip link add ${port} type veth peer name ${INTERFACE} netns ${pid}`);
    }
    await this.#inSwitch(
      `ip link set ${port} master switch up${rateMbit ? `; ${shape(port, rateMbit)}` : ""}`,
    );
    const shaped = rateMbit ? shape(INTERFACE, rateMbit) : "true";
    await this.#check(index, [
      "sh",
      "-ec",
      // A host that comes back has the hardware address of before, which others still know.
      `ip link set ${INTERFACE} address 02:00:00:00:01:${(index + 16).toString(16)} up; ` +
      `ip addr add ${address}/24 dev ${INTERFACE}; ${shaped}`,
    ]);
  }

  start(
    host: number,
    command: readonly string[],
    { cwd = this.shared, ...options }: Pick<Deno.CommandOptions, "cwd" | "env" | "stdin"> = {},
  ): TrainProcess {
    const { enter } = this.hosts[host]!;
    // The signal of the parent's death is for the time in which nsenter has been killed and its child has not.
    const inside = ["setpriv", "--pdeathsig", "KILL", "env", `--chdir=${cwd}`, ...command];
    const process = startProcess([...enter, ...inside], options);
    return { ...process, kill: (signal) => signalChild(process.pid, signal) };
  }

  async run(
    host: number,
    command: readonly string[],
    options?: Pick<Deno.CommandOptions, "cwd" | "env">,
  ): Promise<CommandResult> {
    return await this.start(host, command, options).result;
  }

  async part(host: number): Promise<void> {
    await this.#inSwitch(`ip link set ${portOf(host)} nomaster`);
  }

  async heal(host: number): Promise<void> {
    await this.#inSwitch(`ip link set ${portOf(host)} master switch`);
  }

  async block(host: number, other: number): Promise<void> {
    await this.#eachOther(host, other, "add");
  }

  async unblock(host: number, other: number): Promise<void> {
    await this.#eachOther(host, other, "del");
  }

  async #eachOther(host: number, other: number, action: "add" | "del"): Promise<void> {
    // An address of the hardware that nobody has: the frames leave, and nobody takes them.
    for (const [from, to] of [[host, other], [other, host]] as const) {
      const { address } = this.hosts[to]!;
      const nobody = action === "add" ? "lladdr 02:00:00:00:00:fe nud permanent" : "";
      const verb = action === "add" ? "replace" : "del";
      await this.#check(from, [
        ...["sh", "-c", `ip neigh ${verb} ${address} ${nobody} dev ${INTERFACE}`],
      ]);
    }
  }

  async kill(host: number): Promise<void> {
    await this.#keepers[host]?.kill();
    await this.#relays[host]?.kill();
    this.#keepers[host] = undefined;
    this.#relays[host] = undefined;
    // The kernel removes the cable of a namespace some time after its last process.
    await this.#inSwitch(`ip link del ${portOf(host)} 2>/dev/null || true`);
  }

  async restart(host: number): Promise<void> {
    await this.add(host);
  }

  async setCable(host: number, { delayMs = 0, lossRate = 0 }: Cable): Promise<void> {
    const relay = this.#relays[host];
    if (!relay) throw new Error(`The cable of host ${host} doesn't go through the relay`);
    await relay.send(`${delayMs} ${lossRate}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const keepers = [...this.#keepers, ...this.#relays, this.#switch];
    await Promise.all(keepers.map((keeper) => keeper?.kill()));
  }

  #enterSwitch(): string[] {
    const user = this.#userNamespace ? ["--user", "--preserve-credentials"] : [];
    return ["nsenter", "--target", String(this.#switch.pid), ...user, "--net", "--"];
  }

  #enterHost(pid: number): string[] {
    const user = this.#userNamespace ? ["--user", "--preserve-credentials"] : [];
    const others = ["--net", "--mount", "--uts", "--ipc", `--pid=/proc/${pid}/ns/pid_for_children`];
    return ["nsenter", "--target", String(pid), ...user, ...others, "--"];
  }

  async #inSwitch(script: string): Promise<void> {
    await succeed([...this.#enterSwitch(), "sh", "-ec", script]);
  }

  async #check(host: number, command: readonly string[]): Promise<void> {
    await succeed([...this.hosts[host]!.enter, ...command]);
  }
}

/** The name of a host's port of the switch. */
const portOf = (host: number) => `port${host}`;

/**
 * Shapes what leaves by an interface. The bucket holds 2 ms, and at least one packet of 64 KB: the kernel's timers are
 * exact to much less. The queue holds 50 ms: less, and TCP does not reach the rate; more, and it hides a full link.
 */
function shape(name: string, rateMbit: number): string {
  const burst = Math.max(128 * 1024, Math.ceil(rateMbit * 1e6 / 8 * 0.002));
  return `tc qdisc replace dev ${name} root tbf rate ${rateMbit}mbit burst ${burst} latency 50ms`;
}

async function succeed([program, ...args]: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program!, { args, stdin: "null" }).output();
  if (success) return;
  throw new Error(`${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}

/** Sends a signal to the child of a `nsenter`, which stays outside of the host and passes nothing on. */
function signalChild(pid: number, signal: Deno.Signal): void {
  const script = 'kill -s "$1" $(ps -o pid= --ppid "$2")';
  const args = ["-c", script, "sh", signal.slice(3), String(pid)];
  const { success, stderr } = new Deno.Command("sh", { args }).outputSync();
  if (!success) throw new TypeError(new TextDecoder().decode(stderr).trim());
}
