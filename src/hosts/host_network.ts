/**
 * The other hosts of a run, as the coordinator sees them: their agents join, also again after a loss, and each pair of hosts
 * is tried before a vector goes from one to the other.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Subscription } from "../deps/nats.ts";
import type { ComputeDevice } from "../base/compute_device.ts";
import { asLockstepError, LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { counted } from "../base/format.ts";
import { given } from "../base/given.ts";
import { itemAt } from "../base/item_at.ts";
import type { NatsAddress } from "../protocol/address.ts";
import type { ExchangingHosts } from "../protocol/generation_commands.ts";
import { Link } from "../protocol/link.ts";
import type { Envelope, Fields } from "../protocol/messages.ts";
import type { RunIdentity } from "../protocol/subjects.ts";
import { lobbyOf } from "../protocol/lobby.ts";
import { DataServer, type DataServerOptions } from "./data_server.ts";
import {
  type HostFacts,
  hostFactsSchema,
  type ReachableServer,
  type Reached,
  type RunEnd,
} from "./host_calls.ts";
import { HostConversation } from "./host_conversation.ts";
import { sumOf } from "./layout.ts";
import { probeServers } from "./probe_servers.ts";
import { lowered, reachLines, slowWays } from "./reach_lines.ts";
import { RemoteHost } from "./remote_host.ts";
import type { WorkerHost } from "./worker_host.ts";

/** The hosts of a run besides the coordinator's. */
export interface HostsOptions {
  /** Workers of each host, in order; that of the coordinator is the first. */
  readonly layout: readonly number[];
  /** Seconds for which other hosts are waited for, at the start and after a loss. */
  readonly joinTimeout: number;
  /** The devices that the workers of other hosts compute on. */
  readonly device: "auto" | "cpu" | "gpu";
  readonly threadsPerWorker: number | undefined;
  /** Lets GPUs be used that other runs of their hosts hold. */
  readonly shareGpus?: boolean;
  /** The key of the messages by which hosts join. */
  readonly lobbyKey: string;
  /** The command that a host joins by, for messages. */
  readonly joinCommand: (port: number) => string;
  /** This host's own data server, which runs where it has workers. */
  readonly dataServer: Omit<DataServerOptions, "onWarning" | "onLost">;
  /** Checks the data of a host before its workers start; `undefined` where there is nothing to check. */
  readonly checkHost?: ((host: RemoteHost) => Promise<void>) | undefined;
}

/** The parts of a cluster that its hosts work with. */
export interface NetworkOptions extends HostsOptions {
  /** The coordinator's server. */
  readonly server: NatsAddress;
  readonly liveness: { readonly lostAfter: number };
  readonly reconnectTimeout: number;
  readonly onLine: (index: number, line: string) => void;
}

/** Listeners of a network. */
export interface NetworkListeners {
  readonly onInfo: (message: string) => void;
  readonly onWarning: (message: string) => void;
  /** Called with the reason when the data server of this host is lost for good. */
  readonly onLost: (error: LockstepError) => void;
  /** Ends waits for hosts when it fires. */
  readonly signal: AbortSignal;
}

/** The end of a run that is over. */
const IN_ORDER: RunEnd = { reason: null, isUsage: false, again: false };
/** Milliseconds without a message after which an agent may have ended: it sends one each second. */
const SILENT_MS = 2_000;
/** Milliseconds for which an agent without a place asks before it is refused. */
const ASKING_MS = 4_000;

/** The other hosts, from the start to the end of a cluster. */
export class HostNetwork implements AsyncDisposable {
  readonly hosts: readonly RemoteHost[];
  readonly #link: Link;
  readonly #lobby: Link;
  readonly #run: RunIdentity;
  readonly #options: NetworkOptions;
  readonly #listeners: NetworkListeners;
  readonly #subscription: Subscription;
  /** The agents that were admitted, by their instances, with the answer to each. */
  readonly #admitted = new Map<string, Fields<"hostWelcome">>();
  readonly #refused = new Set<string>();
  /** The agents for which there is no place, with the time at which they asked first. */
  readonly #asking = new Map<string, number>();
  /** The hosts that an agent is being admitted for. */
  readonly #admitting = new Set<RemoteHost>();
  #connecting: Promise<void> = Promise.resolve();
  /** The nkey of the ranks at the data servers. */
  readonly #nkey: string;
  readonly #joinCommand: string;
  #server: DataServer | undefined;
  /** By host: its data server. */
  readonly #servers: (ReachableServer | undefined)[] = [];
  /** By the host that connects, then by the one that it reaches. */
  readonly #reached: Exclude<Reached, { problem: string }>[][] = [];
  /** The first failure of a host while all are waited for. */
  readonly #failed = new AbortController();
  #isComplete = false;
  #ending: RunEnd = IN_ORDER;
  readonly #stopped = new AbortController();

  private constructor(
    link: Link,
    run: RunIdentity,
    options: NetworkOptions,
    listeners: NetworkListeners,
  ) {
    this.#link = link;
    this.#run = run;
    this.#options = options;
    this.#listeners = listeners;
    this.#nkey = DataServer.makeNkey();
    this.#joinCommand = options.joinCommand(Number(link.server.split(":").at(-1)));
    const { layout, joinTimeout, onLine } = options;
    this.hosts = layout.slice(1).map((_, at) =>
      new RemoteHost({
        ...{ index: at + 1, joinTimeout, onLine },
        firstWorker: sumOf(layout.slice(0, at + 1)),
        peers: () => this.peersOf(at + 1),
        onLost: (message) => this.#onLost(message),
      })
    );
    const lobby = lobbyOf(options.lobbyKey);
    this.#lobby = new Link(link.connection, lobby, "coordinator", options.server);
    this.#subscription = this.#lobby.subscribe(this.#lobby.subjects.join, {
      hostJoin: ({ header }) => this.#onJoin(header),
    }, {
      onOtherVersion: (envelope, reason, header) => this.#onOtherVersion(envelope, reason, header),
    });
  }

  /**
   * Waits until all hosts have joined, and can reach each other.
   *
   * @throws {LockstepError} when they don't in time; when a host can't take part, or can't reach another one
   * @throws the signal's reason when it fires
   */
  static async open(
    link: Link,
    run: RunIdentity,
    options: NetworkOptions,
    listeners: NetworkListeners,
  ): Promise<HostNetwork> {
    const network = new HostNetwork(link, run, options, listeners);
    try {
      await network.#gather();
      return network;
    } catch (error) {
      await network.#end(failureOf(error));
      throw error;
    }
  }

  /** The devices of the workers of the other hosts, in the order of the ranks. */
  get devices(): ComputeDevice[] {
    return this.hosts.flatMap(({ devices }) => devices);
  }

  /** The addresses, without ports, at which a host reaches the others. */
  peersOf(host: number): string[] {
    const urls = (this.#reached[host] ?? []).filter((reached) => reached !== undefined);
    return [...new Set(urls.map(({ url }) => addressIn(url)))];
  }

  /** The settings by which the ranks of some hosts reach each other, as `openExchange` carries them. */
  linkSettings(
    hosts: readonly { readonly host: WorkerHost; readonly ranks: number }[],
  ): ExchangingHosts {
    const indices = hosts.map(({ host }) => host.index);
    return {
      names: hosts.map(({ host }) => host.name),
      ranks: hosts.map(({ ranks }) => ranks),
      servers: indices.map((from) =>
        indices.map((to) => ({
          url: itemAt(itemAt(this.#reached, from), to).url,
          ...given("fingerprint", this.#servers[to]!.fingerprint),
        }))
      ),
      nkey: this.#nkey,
    };
  }

  /**
   * Notes the failure by which the run ends.
   *
   * @param again It starts again, so that the hosts are to join anew
   */
  noteFailure(error: unknown, again: boolean): void {
    this.#ending = again ? { ...IN_ORDER, again } : failureOf(error);
  }

  /** Lets all hosts go. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(this.#ending);
  }

  /** Ends the hosts' part in the run; with `again`, their agents join anew. */
  async #end(end: RunEnd): Promise<void> {
    this.#stopped.abort(new LockstepError("The run is over"));
    this.#subscription.unsubscribe();
    await Promise.all(this.hosts.map((host) => host.end(end)));
    await this.#server?.[Symbol.asyncDispose]();
  }

  async #gather(): Promise<void> {
    const { joinTimeout, layout, dataServer } = this.#options;
    const { onInfo, onWarning, onLost, signal } = this.#listeners;
    await this.#lobby.flush();
    const others = layout.length - 1;
    onInfo(`Waiting for ${counted(others, "other host")}: run there\n  ${this.#joinCommand}`);
    const ends = AbortSignal.any([
      signal,
      this.#failed.signal,
      AbortSignal.timeout(1000 * joinTimeout),
    ]);
    try {
      await Promise.all(this.hosts.map((host) => host.ready(ends)));
    } catch (error) {
      signal.throwIfAborted();
      this.#failed.signal.throwIfAborted();
      throw this.#absenceError(error);
    }
    this.#requireSameKind();
    if (layout.filter((workers) => workers > 0).length > 1) {
      if (itemAt(layout, 0) > 0) {
        this.#server = await DataServer.start(this.#nkey, { ...dataServer, onWarning, onLost });
        this.#servers[0] = { ...this.#server.reachable, name: `Host 0 (${hostname()})` };
      }
      await Promise.all(this.hosts.map((host) => this.#startServer(host)));
      const problems = await this.#probe();
      if (problems.length > 0) throw new LockstepError(problems.join("\n"));
    }
    this.#isComplete = true;
  }

  /** @throws {LockstepError} when some hosts compute on GPUs, and others on their CPUs */
  #requireSameKind(): void {
    const kindOf = ({ devices: [device] }: RemoteHost) => device?.kind === "gpu" ? "GPUs" : "CPUs";
    const [first, ...others] = this.hosts.filter(({ devices }) => devices.length > 0);
    const other = others.find((host) => kindOf(host) !== kindOf(first!));
    if (!other) return;
    throw new LockstepError(
      `${first!.name} computes on ${kindOf(first!)}, and ${lowered(other.name)} on ${
        kindOf(other)
      }: set device to cpu, or leave out the hosts without GPUs`,
    );
  }

  async #startServer(host: RemoteHost): Promise<void> {
    if (itemAt(this.#options.layout, host.index) === 0) return;
    this.#servers[host.index] = await host.call("startServer", { nkey: this.#nkey });
  }

  /**
   * Has hosts try to reach each other.
   *
   * @param only A host: the pairs without it stay as they are
   * @returns The problems, as sentences
   */
  async #probe(only?: number): Promise<string[]> {
    const members = [...this.#servers.keys()].filter((index) =>
      this.#servers[index] && (index === 0 || itemAt(this.hosts, index - 1).canCall)
    );
    const problems: string[] = [];
    // In each round every host sends to one other and receives from one: no two measurements share a link.
    for (let round = 0; round < members.length; round++) {
      await Promise.all(members.map(async (from, at) => {
        const to = itemAt(members, (at + round) % members.length);
        if (only !== undefined && from !== only && to !== only) return;
        const problem = await this.#probePair(from, to);
        if (problem !== undefined) problems.push(problem);
      }));
    }
    this.#tellSpeeds(members, only);
    return problems;
  }

  /** Has a host try to reach another one; returns the problem, as a sentence. */
  async #probePair(from: number, to: number): Promise<string | undefined> {
    const [own, other] = [this.#servers[from]!, this.#servers[to]!];
    const request = { nkey: this.#nkey, servers: [other] };
    const [reached] = from === 0
      ? await probeServers(request)
      : await itemAt(this.hosts, from - 1).call("probe", request);
    if ("problem" in reached!) {
      return `${own.name} can't reach ${lowered(other.name)}: ${reached.problem}`;
    }
    const known = this.#reached[from] ??= [];
    const before = known[to] && addressIn(known[to].url);
    if (before !== undefined && before !== addressIn(reached!.url)) {
      // Workers may connect to the addresses alone that were known when they were started.
      return `${other.name} is at ${
        addressIn(reached!.url)
      } now, and was at ${before}: give it its old address`;
    }
    known[to] = reached!;
  }

  /** Reports at which address and speed hosts reach each other. */
  #tellSpeeds(members: readonly number[], only: number | undefined): void {
    const ways = members.flatMap((from) =>
      members.flatMap((to) => {
        const reached = this.#reached[from]?.[to];
        if (
          !reached || from === to || (only !== undefined && from !== only && to !== only)
        ) return [];
        return [{ from: this.#servers[from]!.name, to: this.#servers[to]!.name, ...reached }];
      })
    );
    reachLines(ways).forEach(this.#listeners.onInfo);
    slowWays(ways).forEach(this.#listeners.onWarning);
  }

  #onJoin({ instance, facts: json }: Fields<"hostJoin">): void {
    const welcome = this.#admitted.get(instance);
    if (welcome) return this.#answer(instance, welcome); // it asks until it is answered
    const facts = hostFactsSchema.parse(json);
    const host = this.#placeFor(facts);
    if (typeof host === "string") {
      if (!this.#mayComeFree(instance)) this.#refuse(instance, host);
      return; // it asks again
    }
    const session = randomUUID();
    const { server, liveness: { lostAfter }, reconnectTimeout } = this.#options;
    const workerCredentials = server.workerCredentials ?? server.credentials;
    const settings = {
      ...{ index: host.index, run: { ...this.#run }, session, workerCredentials },
      ...{ lostAfter, reconnectTimeout },
    };
    const answer = { instance, settings: JSON.parse(JSON.stringify(settings)) };
    this.#admitted.set(instance, answer);
    void this.#admit(host, facts, session);
    this.#answer(instance, answer);
  }

  async #admit(host: RemoteHost, facts: HostFacts, session: string): Promise<void> {
    const { onInfo, onWarning } = this.#listeners;
    const { layout, device, threadsPerWorker = null, shareGpus = false, checkHost } = this.#options;
    const { subjects } = this.#link;
    const lostAfterMs = 1000 * this.#options.liveness.lostAfter;
    this.#admitting.add(host);
    const peer = `Host ${host.index} (${facts.hostname})`;
    const silent = Promise.withResolvers<never>();
    silent.promise.catch(() => {});
    const conversation: HostConversation = new HostConversation({
      ...host.handlers,
      ...{ link: this.#link, session, peer },
      speaking: subjects.hostCommand(host.index),
      listening: subjects.hostEvent(host.index),
      onSilence: (silentMs) => {
        if (silentMs < lostAfterMs) return;
        const reason = `has sent nothing for ${Math.round(silentMs / 1000)} s`;
        host.lose(reason);
      },
    });
    try {
      const workers = itemAt(layout, host.index);
      host.attach(conversation, facts);
      const prepared = workers === 0
        ? { devices: [], warnings: [] }
        : await host.call("prepare", { device, workers, threadsPerWorker, shareGpus });
      prepared.warnings.forEach((warning) => onWarning(`${peer}: ${warning}`));
      await checkHost?.(host);
      if (this.#isComplete) await this.#connectAgain(host);
      onInfo(`${peer} has joined${workers > 0 ? `, with ${counted(workers, "worker")}` : ""}`);
      host.admit(prepared.devices);
    } catch (thrown) {
      const error = asLockstepError(thrown);
      await host.end(failureOf(error));
      if (this.#isComplete) onWarning(`${messageOf(error)}: it can't come back so`);
      else this.#failed.abort(error);
    } finally {
      this.#admitting.delete(host);
    }
  }

  /** Connects a host that comes back with the others; one host at a time, so that each finds those before it. */
  async #connectAgain(host: RemoteHost): Promise<void> {
    const connecting = this.#connecting.then(async () => {
      await this.#startServer(host);
      const problems = await this.#probe(host.index);
      if (problems.length > 0) throw new LockstepError(problems.join("\n"));
    });
    this.#connecting = connecting.catch(() => {});
    await connecting;
  }

  /** Tells whether an agent may get a place that is taken: one that has ended is noticed some seconds later. */
  #mayComeFree(instance: string): boolean {
    const now = performance.now();
    const since = this.#asking.get(instance) ?? now;
    this.#asking.set(instance, since);
    return now - since < ASKING_MS || this.hosts.some(({ silentMs }) => silentMs > SILENT_MS);
  }

  /** The host that an agent speaks for; or the reason why there is none. */
  #placeFor({ index, hostname, pid }: HostFacts): RemoteHost | string {
    const who = `the agent with pid ${pid} on ${hostname}`;
    const isFree = (host: RemoteHost) => !host.isHere && !this.#admitting.has(host);
    if (index !== null) {
      const host = this.hosts[index - 1];
      if (!host) return `This run has ${this.hosts.length + 1} hosts: no host ${index} for ${who}`;
      return isFree(host) ? host : `${host.name} has joined already: refused ${who}`;
    }
    const free = this.hosts.filter(isFree);
    const host = free.find((each) => each.hostname === hostname) ?? free[0];
    return host ?? `This run has its ${this.hosts.length + 1} hosts: no room for ${who}`;
  }

  #onOtherVersion(_envelope: Envelope, reason: string, header: unknown): void {
    const instance = (header as { instance?: unknown }).instance;
    if (typeof instance === "string" && /^[\w-]{1,80}$/.test(instance)) {
      this.#refuse(instance, reason[0]!.toUpperCase() + reason.slice(1));
    }
  }

  #answer(instance: string, welcome: Fields<"hostWelcome">): void {
    this.#lobby.publish(this.#lobby.subjects.welcome(instance), "hostWelcome", welcome);
  }

  #refuse(instance: string, reason: string): void {
    this.#lobby.publish(this.#lobby.subjects.welcome(instance), "refusal", { reason });
    if (this.#refused.has(instance)) return;
    this.#refused.add(instance);
    this.#listeners.onWarning(reason);
  }

  #onLost(message: string): void {
    if (this.#stopped.signal.aborted) return;
    if (!this.#isComplete) this.#failed.abort(new LockstepError(message));
    else {
      this.#listeners.onWarning(
        `${message}; where it comes back, run there\n  ${this.#joinCommand}`,
      );
    }
  }

  #absenceError(cause: unknown): LockstepError {
    const { joinTimeout } = this.#options;
    const here = this.hosts.filter(({ isHere }) => isHere).length;
    return new LockstepError(
      `${here} of ${counted(this.hosts.length, "other host")} joined within ${joinTimeout} s ` +
        `(hosts.joinTimeout): run on each of the others\n  ${this.#joinCommand}`,
      { cause },
    );
  }
}

/** The end of a run by a failure. */
function failureOf(error: unknown): RunEnd {
  return { reason: messageOf(error), isUsage: error instanceof UsageError, again: false };
}

function addressIn(url: string): string {
  return new URL(url.replace(/^[a-z]+:/, "http:")).hostname;
}
