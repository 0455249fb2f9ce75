/**
 * Commands of the coordinator to all workers, and their replies. A command is repeated until every rank has
 * replied; a worker runs it once, however often it comes.
 *
 * @module
 */
import { anySignal } from "../base/async.ts";
import type { Subscription } from "../deps/nats.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import { itemAt } from "../base/item_at.ts";
import { Pending } from "../base/pending.ts";
import type { Incoming, Link } from "./link.ts";
import type { Blame, Fields } from "./messages.ts";
import { type Json, packJson, unpackJson } from "./large_json.ts";
import type { BlobTransfers, Offer } from "./blob_transfers.ts";

/** One rank's answer to a command. */
export interface Reply {
  readonly rank: number;
  readonly result: Json;
  /** Present when the worker sent bytes along. */
  readonly payload?: Uint8Array<ArrayBuffer>;
}

/** The options of a command. */
export interface CallOptions {
  /** Bytes that every worker gets; must stay as they are until the call is over. */
  readonly payload?: Uint8Array;
  readonly signal?: AbortSignal;
  /** The ranks that get the command; all unless given. */
  readonly ranks?: readonly number[] | undefined;
}

/** A worker failed to carry out a command. */
export class WorkerFailedError extends LockstepError {
  override name = "WorkerFailedError";
  readonly rank: number;
  readonly blame: Blame;

  /** @param place Completes the rank's name: its device */
  constructor(
    rank: number,
    message: string,
    { place = "", blame }: { place?: string; blame: Blame },
  ) {
    super(`Rank ${rank}${place} failed: ${message}`);
    this.rank = rank;
    this.blame = blame;
  }
}

// A worker may not be listening yet when the first command leaves: short intervals that double.
const FIRST_REPEAT_MS = 25;
const LAST_REPEAT_MS = 2_000;
/** Characters of an error's message. */
const MAX_ERROR = 2_000;

interface Call {
  readonly ranks: readonly number[];
  readonly command: Fields<"command">;
  readonly replies: Map<number, Reply>;
  readonly pulling: Set<number>;
  readonly done: Pending<void>;
  readonly signal: AbortSignal | undefined;
}

/** The coordinator's end: one command at a time to all ranks. */
export class CommandClient {
  readonly #link: Link;
  readonly #transfers: BlobTransfers;
  readonly #subscription: Subscription;
  /** The workers' numbers, in the order of their ranks. */
  #numbers: readonly number[];
  #places: readonly string[] = [];
  #lastId = 0;
  #call: Call | undefined;

  private constructor(link: Link, transfers: BlobTransfers, worldSize: number) {
    this.#link = link;
    this.#transfers = transfers;
    this.#numbers = Array.from({ length: worldSize }, (_, rank) => rank);
    this.#subscription = link.subscribe(link.subjects.reply, {
      reply: (message) => this.#onReply(message),
    });
  }

  /** Opens the channel to `worldSize` workers. */
  static async open(
    link: Link,
    transfers: BlobTransfers,
    worldSize: number,
  ): Promise<CommandClient> {
    const client = new CommandClient(link, transfers, worldSize);
    await link.flush();
    return client;
  }

  /** The numbers of the workers, in the order of their ranks: those that they have had since they joined. */
  get numbers(): readonly number[] {
    return this.#numbers;
  }

  /** Completes the ranks' names in messages by their devices, in order. */
  describe(places: readonly string[]): void {
    this.#places = places;
  }

  /**
   * Calls only some workers from now on, who get the ranks of this order. They keep their numbers, by which commands
   * name them: a worker may have its new rank long before the others have theirs.
   *
   * @param ranks Present ranks of the workers
   * @param places As of {@linkcode CommandClient.describe}
   */
  keep(ranks: readonly number[], places: readonly string[] = []): void {
    this.#numbers = ranks.map((rank) => itemAt(this.#numbers, rank));
    this.#places = places;
  }

  /**
   * Has every worker run a command, and waits for all replies, without a time limit. The signal ends the wait
   * for a dead worker (see `HeartbeatMonitor`).
   *
   * @returns The replies in the order of the ranks
   * @throws {WorkerFailedError} As soon as one worker's handler throws
   * @throws The signal's reason when it fires
   */
  async callAll(name: string, args: Json = null, options: CallOptions = {}): Promise<Reply[]> {
    const { payload, signal } = options;
    const ranks = options.ranks ?? [...this.#numbers.keys()];
    signal?.throwIfAborted();
    if (this.#call) throw new TypeError(`callAll("${name}") while a call is still running`);
    const offer = payload && this.#transfers.offer(payload);
    const command = {
      ...{ id: ++this.#lastId, name, args },
      workers: options.ranks ? ranks.map((rank) => itemAt(this.#numbers, rank)) : null,
      payload: offer?.transfer ?? null,
    };
    const done = new Pending<void>();
    const call: Call = { ranks, command, replies: new Map(), pulling: new Set(), done, signal };
    if (ranks.length === 0) done.finish();
    this.#call = call;
    const stopRepeating = repeatWithBackoff(
      () => this.#link.publish(this.#link.subjects.command, "command", command),
      this.#link,
    );
    try {
      await done.result({ signal });
      return [...call.replies.values()].sort((a, b) => a.rank - b.rank);
    } finally {
      stopRepeating();
      offer?.withdraw();
      this.#call = undefined;
    }
  }

  /** Ends a running call with an error. */
  close(): void {
    this.#subscription.unsubscribe();
    this.#call?.done.fail(new LockstepError("The command channel was closed"));
  }

  #onReply({ header }: Incoming<"reply">): void {
    const call = this.#call;
    const { id, error, blame, payload } = header;
    const rank = this.#numbers.indexOf(header.worker);
    if (!call || id !== call.command.id || !call.ranks.includes(rank)) return;
    if (call.replies.has(rank) || call.pulling.has(rank)) return; // repeated
    if (error !== null) {
      const place = this.#places[rank] ?? "";
      return call.done.fail(
        new WorkerFailedError(rank, error, { place, blame: blame ?? "process" }),
      );
    }
    if (payload === null) return this.#settle(call, { rank, result: header.result });
    call.pulling.add(rank);
    this.#transfers.pull(payload, call.signal).then(
      (bytes) => {
        const { value: result, payload } = unpackJson(header.result, header.resultBytes, bytes);
        this.#settle(call, { rank, result, ...(payload ? { payload } : {}) });
      },
    ).catch((failure) => call.done.fail(failure));
  }

  #settle(call: Call, reply: Reply): void {
    call.replies.set(reply.rank, reply);
    if (call.replies.size === call.ranks.length) call.done.finish();
  }
}

/**
 * Runs `action` now, and again at intervals that grow, anew when a lost connection is back, until the returned function
 * is called.
 */
function repeatWithBackoff(action: () => void, link: Pick<Link, "onReconnect">): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const round = (next: number) => {
    action();
    timer = setTimeout(round, next, Math.min(2 * next, LAST_REPEAT_MS));
  };
  const begin = () => {
    clearTimeout(timer);
    round(FIRST_REPEAT_MS);
  };
  const reconnections = link.onReconnect(begin);
  begin();
  return () => {
    reconnections.unsubscribe();
    clearTimeout(timer);
  };
}

/** An error's message of bounded length: it may name thousands of files. */
function truncatedMessage(message: string): string {
  return message.length <= MAX_ERROR ? message : message.slice(0, MAX_ERROR) + " …";
}

/** A command as a worker sees it. */
export interface WorkerCommand {
  readonly name: string;
  readonly args: Json;
  /** Present when the coordinator sent bytes along. */
  readonly payload?: Uint8Array<ArrayBuffer>;
  /** Fires when the coordinator gives another command before this one is carried out. */
  readonly signal: AbortSignal;
}

/** A worker's answer; the payload must stay as it is until the next command comes. */
export interface CommandOutcome {
  readonly result?: Json;
  readonly payload?: Uint8Array;
}

/** Carries out a command; an error that it throws goes to the coordinator as the reply's error. */
export type CommandHandler = (command: WorkerCommand) => Promise<CommandOutcome | void>;

/** The worker's end, as made by {@linkcode serveCommands}. */
export interface CommandServer {
  close(): void;
}

/** The options of a worker's end. */
export interface ServeOptions {
  /** Ends the pulling of a command's payload. */
  readonly signal?: AbortSignal | undefined;
  /** Tells the cause of an error that a command has thrown; the process unless given. */
  readonly blameOf?: (error: unknown) => Blame;
}

/**
 * Runs the coordinator's commands, one after the other. A command that comes while another one is carried out fires that
 * one's signal, and begins when it has ended; nobody waits for the outcome of the first one any more.
 *
 * @param worker This worker's number: the rank with which it joined
 */
export async function serveCommands(
  link: Link,
  transfers: BlobTransfers,
  worker: number,
  handler: CommandHandler,
  { signal, blameOf = () => "process" }: ServeOptions = {},
): Promise<CommandServer> {
  let current = 0; // the command that is running or was run last
  let reply: Fields<"reply"> | undefined; // undefined while it is running
  let offer: Offer | undefined;
  const send = () => reply && link.publish(link.subjects.reply, "reply", reply);

  const run = async ({ id, name, args, payload }: Fields<"command">, superseded: AbortSignal) => {
    if (superseded.aborted) return;
    const answer = {
      id,
      worker,
      error: null,
      blame: null,
      result: null,
      resultBytes: 0,
      payload: null,
    };
    const signals = anySignal(signal, superseded);
    try {
      const bytes = payload ? await transfers.pull(payload, signals) : undefined;
      const command = { name, args, signal: superseded };
      const outcome = await handler({ ...command, ...(bytes ? { payload: bytes } : {}) });
      if (superseded.aborted) return;
      const packed = packJson(outcome?.result ?? null, outcome?.payload, link.maxPayloadBytes);
      offer = packed.payload && transfers.offer(packed.payload);
      const { value: result, jsonBytes: resultBytes } = packed;
      reply = { ...answer, result, resultBytes, payload: offer?.transfer ?? null };
    } catch (error) {
      if (superseded.aborted) return; // nobody waits for it
      const message = truncatedMessage(messageOf(error));
      reply = { ...answer, error: message, blame: blameOf(error) };
    }
    send();
  };
  let running = Promise.resolve();
  let isSuperseded = new AbortController();

  const subscription = link.subscribe(link.subjects.command, {
    command: ({ header }) => {
      if (header.id === current) return void send(); // the reply may have been lost
      if (header.id < current || (header.workers && !header.workers.includes(worker))) return;
      current = header.id;
      reply = undefined;
      offer?.withdraw();
      isSuperseded.abort(
        new LockstepError(`The coordinator has given the command "${header.name}"`),
      );
      const { signal } = isSuperseded = new AbortController();
      running = running.then(() => run(header, signal));
    },
  });
  await link.flush();
  return {
    close: () => {
      subscription.unsubscribe();
      offer?.withdraw();
    },
  };
}
