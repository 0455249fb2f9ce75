/**
 * Calls and notices between the coordinator and the agent of another host, over a {@linkcode HostChannel}.
 *
 * @module
 */
import { z } from "../deps/zod.ts";
import { asLockstepError, LockstepError, messageOf, UsageError } from "../base/errors.ts";
import { Pending } from "../base/pending.ts";
import { HostChannel, type HostChannelOptions } from "../protocol/host_channel.ts";
import type { Json } from "../protocol/large_json.ts";

const bodySchema = z.union([
  z.strictObject({ call: z.int(), name: z.string(), args: z.json() }),
  z.strictObject({ reply: z.int(), result: z.json() }),
  z.strictObject({ reply: z.int(), error: z.string(), isUsage: z.boolean() }),
  z.strictObject({ notice: z.string(), args: z.json() }),
]);

type Body = z.output<typeof bodySchema>;

/** Handlers of what the other end says, by name. */
export interface ConversationHandlers {
  readonly calls: Readonly<Record<string, (args: Json) => Promise<Json> | Json>>;
  readonly notices: Readonly<Record<string, (args: Json) => void>>;
}

/** Options of an end: those of its channel, and the handlers. */
export interface ConversationOptions
  extends Omit<HostChannelOptions, "onBody">, ConversationHandlers {
  /** Name of the other end at the start of a sentence; precedes the errors of its calls. */
  readonly peer: string;
}

/** One end of a conversation. */
export class HostConversation {
  readonly #options: ConversationOptions;
  readonly #channel: HostChannel;
  readonly #calls = new Map<number, Pending<Json>>();
  #lastCall = 0;
  #ended: Error | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#channel = new HostChannel({ ...options, onBody: (body) => this.#onBody(body) });
  }

  /** Milliseconds since anything came from the other end. */
  get silentMs(): number {
    return this.#channel.silentMs;
  }

  /** Resolves when the other end has everything. */
  get empty(): Promise<void> {
    return this.#channel.empty;
  }

  /**
   * Has the other end do something.
   *
   * @throws {LockstepError} what the other end has failed with; when the conversation has ended
   * @throws the signal's reason when it fires
   */
  async call(name: string, args: Json, signal?: AbortSignal): Promise<Json> {
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = ++this.#lastCall;
    const pending = new Pending<Json>();
    this.#calls.set(id, pending);
    this.#say({ call: id, name, args });
    try {
      return await pending.result({ signal });
    } finally {
      this.#calls.delete(id);
    }
  }

  /** Tells the other end something. */
  notify(name: string, args: Json): void {
    if (!this.#ended) this.#say({ notice: name, args });
  }

  /** Ends the conversation: calls in progress fail with the error. */
  end(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#channel.close();
    for (const call of this.#calls.values()) call.fail(error);
  }

  #say(body: Body): void {
    this.#channel.send(body);
  }

  #onBody(json: Json): void {
    const { data: body } = bodySchema.safeParse(json);
    if (!body || this.#ended) return; // of the same version, so that there is none such
    if ("call" in body) void this.#serve(body);
    else if ("notice" in body) this.#options.notices[body.notice]?.(body.args);
    else if ("error" in body) {
      const { error, isUsage, reply } = body;
      const { peer } = this.#options;
      const message = error.startsWith(peer) ? error : `${peer}: ${error}`;
      this.#calls.get(reply)?.fail(isUsage ? new UsageError(message) : new LockstepError(message));
    } else this.#calls.get(body.reply)?.finish(body.result);
  }

  async #serve({ call, name, args }: Extract<Body, { call: number }>): Promise<void> {
    try {
      const handler = this.#options.calls[name];
      if (!handler) throw new LockstepError(`Unknown call: ${name}`);
      const result = await handler(args);
      if (!this.#ended) this.#say({ reply: call, result });
    } catch (thrown) {
      const error = asLockstepError(thrown);
      if (this.#ended) return;
      this.#say({ reply: call, error: messageOf(error), isUsage: error instanceof UsageError });
    }
  }
}
