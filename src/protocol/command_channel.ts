/**
 * Commands of the coordinator to all workers, and their replies. A command is repeated until every rank has
 * replied; a worker runs it once, however often it comes.
 *
 * @module
 */
import type { Subscription } from "../deps/nats.ts";
import { LockstepError, messageOf } from "../base/errors.ts";
import { Pending } from "../base/pending.ts";
import type { Incoming, Link } from "./link.ts";
import type { Fields } from "./messages.ts";
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
}

/** A worker failed to carry out a command. */
export class WorkerFailedError extends LockstepError {
  override name = "WorkerFailedError";
  readonly rank: number;

  /** @param place Completes the rank's name: its device */
  constructor(rank: number, message: string, place = "") {
    super(`Rank ${rank}${place} failed: ${message}`);
    this.rank = rank;
  }
}

// A worker may not be listening yet when the first command leaves: short intervals that double.
const FIRST_REPEAT_MS = 25;
const LAST_REPEAT_MS = 2_000;
/** Characters of an error's message. */
const MAX_ERROR = 2_000;

interface Call {
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
  readonly #worldSize: number;
  readonly #subscription: Subscription;
  readonly #places: readonly string[];
  #lastId = 0;
  #call: Call | undefined;

  private constructor(
    link: Link,
    transfers: BlobTransfers,
    worldSize: number,
    places: readonly string[],
  ) {
    this.#places = places;
    this.#link = link;
    this.#transfers = transfers;
    this.#worldSize = worldSize;
    this.#subscription = link.subscribe(link.subjects.reply, {
      reply: (message) => this.#onReply(message),
    });
  }

  /**
   * Opens the channel to `worldSize` workers.
   *
   * @param places Completes the ranks' names in messages: their devices
   */
  static async open(
    link: Link,
    transfers: BlobTransfers,
    worldSize: number,
    places: readonly string[] = [],
  ): Promise<CommandClient> {
    const client = new CommandClient(link, transfers, worldSize, places);
    await link.flush();
    return client;
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
    signal?.throwIfAborted();
    if (this.#call) throw new TypeError(`callAll("${name}") while a call is still running`);
    const offer = payload && this.#transfers.offer(payload);
    const command = { id: ++this.#lastId, name, args, payload: offer?.transfer ?? null };
    const done = new Pending<void>();
    const call: Call = { command, replies: new Map(), pulling: new Set(), done, signal };
    this.#call = call;
    const stopRepeating = repeatWithBackoff(() =>
      this.#link.publish(this.#link.subjects.command, "command", command)
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
    const { id, rank, error, payload } = header;
    if (!call || id !== call.command.id || rank >= this.#worldSize) return;
    if (call.replies.has(rank) || call.pulling.has(rank)) return; // repeated
    if (error !== null) {
      return call.done.fail(new WorkerFailedError(rank, error, this.#places[rank]));
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
    if (call.replies.size === this.#worldSize) call.done.finish();
  }
}

/** Runs `action` now, and again at growing intervals, until the returned function is called. */
function repeatWithBackoff(action: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const round = (next: number) => {
    action();
    timer = setTimeout(round, next, Math.min(2 * next, LAST_REPEAT_MS));
  };
  round(FIRST_REPEAT_MS);
  return () => clearTimeout(timer);
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

/**
 * Runs the coordinator's commands, one after the other.
 *
 * @param rank This worker's rank
 * @param signal Ends the pulling of a command's payload
 */
export async function serveCommands(
  link: Link,
  transfers: BlobTransfers,
  rank: number,
  handler: CommandHandler,
  signal?: AbortSignal,
): Promise<CommandServer> {
  let current = 0; // the command that is running or was run last
  let reply: Fields<"reply"> | undefined; // undefined while it is running
  let offer: Offer | undefined;
  const send = () => reply && link.publish(link.subjects.reply, "reply", reply);

  const run = async ({ id, name, args, payload }: Fields<"command">) => {
    const answer = { id, rank, error: null, result: null, resultBytes: 0, payload: null };
    try {
      const bytes = payload ? await transfers.pull(payload, signal) : undefined;
      const outcome = await handler({ name, args, ...(bytes ? { payload: bytes } : {}) });
      const packed = packJson(outcome?.result ?? null, outcome?.payload, link.maxPayloadBytes);
      offer = packed.payload && transfers.offer(packed.payload);
      const { value: result, jsonBytes: resultBytes } = packed;
      reply = { ...answer, result, resultBytes, payload: offer?.transfer ?? null };
    } catch (error) {
      reply = { ...answer, error: truncatedMessage(messageOf(error)) };
    }
    send();
  };

  const subscription = link.subscribe(link.subjects.command, {
    command: ({ header }) => {
      if (header.id === current) return void send(); // the reply may have been lost
      if (header.id < current) return;
      current = header.id;
      reply = undefined;
      offer?.withdraw();
      void run(header);
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
