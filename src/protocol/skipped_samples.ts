/**
 * The reports of samples that a rank leaves out of its batches.
 *
 * A rank reports them before it contributes to the step, and goes on when the coordinator has noted them. So the
 * coordinator knows the skipped samples of every step that is done, whatever happens to the rank afterwards. A batch
 * without such samples costs no message.
 *
 * @module
 */
import { LockstepError } from "../base/errors.ts";
import { compareSteps, type StepKey } from "../base/step_key.ts";
import { inlineBytes } from "./large_json.ts";
import type { Incoming, Link } from "./link.ts";
import type { Fields } from "./messages.ts";
import { NonFiniteReports } from "./non_finite_reports.ts";
import { RetriedWait } from "./retried_wait.ts";

/** A sample that was left out. */
export type LeftOutSample = Fields<"skippedSamples">["samples"][number];

/** The subset of `Link` that both ends use. */
type SkippedLink = Pick<Link, "subjects" | "publish" | "subscribe">;

/** The subset of `Link` that a rank's end uses. */
type SenderLink = SkippedLink & Pick<Link, "maxPayloadBytes" | "onReconnect" | "serverGone">;

/** Characters of a reason: a module's message may be of any length. */
const MAX_REASON = 2_000;
/** Characters of the texts of a sample that would be too long for a message by itself. */
const SHORTENED = 100;

/** A rank's end. */
export class SkippedSender {
  readonly #link: SenderLink;
  readonly #place: { readonly rank: number };
  readonly #timeoutMs: number | undefined;

  /**
   * @param place The rank, which may change between two steps
   * @param timeoutMs Milliseconds without an answer after which a wait fails
   */
  constructor(
    link: SenderLink,
    place: { readonly rank: number },
    timeoutMs?: number,
  ) {
    this.#link = link;
    this.#place = place;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Reports samples to the coordinator, repeatedly until it has noted all of them.
   *
   * @throws {LockstepError} when the coordinator is silent for too long
   * @throws The signal's reason when it fires
   */
  async send(
    { epoch, step }: StepKey,
    samples: readonly LeftOutSample[],
    signal?: AbortSignal,
  ): Promise<void> {
    const { rank } = this.#place;
    const { subjects, maxPayloadBytes } = this.#link;
    const open = new Map(partsOf(samples, inlineBytes(maxPayloadBytes)).entries());
    const send = () => {
      for (const [part, samples] of open) {
        const fields = { rank, epoch, step, part, samples };
        this.#link.publish(subjects.skipped(rank), "skippedSamples", fields);
      }
    };
    const wait = new RetriedWait<void>({
      timeoutMs: this.#timeoutMs,
      askAgain: send,
      isExcused: () => this.#link.serverGone,
      silence: (seconds) =>
        new LockstepError(
          `Rank ${rank} skips images in epoch ${epoch}, step ${step}, and the coordinator has not noted them for ` +
            `${seconds} s`,
        ),
    });
    // The server takes the subscription before the message, as both come by one connection.
    const noted = this.#link.subscribe(subjects.noted(rank), {
      noted: ({ header }) => {
        if (compareSteps(header, { epoch, step }) !== 0 || !open.delete(header.part)) return;
        wait.progress();
        if (open.size === 0) wait.finish();
      },
    });
    const reconnected = this.#link.onReconnect(() => wait.askSoon());
    try {
      send();
      await wait.result(signal);
    } finally {
      noted.unsubscribe();
      reconnected.unsubscribe();
    }
  }
}

/** Divides samples among messages, each of which can be lost and repeated by itself. */
function partsOf(samples: readonly LeftOutSample[], maxBytes: number): LeftOutSample[][] {
  const parts: LeftOutSample[][] = [];
  let room = 0;
  for (const sample of samples) {
    const fitting = fitted(sample, maxBytes);
    const bytes = jsonBytes(fitting) + 1;
    if (bytes > room || parts.length === 0) {
      parts.push([]);
      room = maxBytes;
    }
    parts.at(-1)!.push(fitting);
    room -= bytes;
  }
  return parts;
}

/** A sample whose texts are shortened as far as one message needs it. */
function fitted({ index, path, reason }: LeftOutSample, maxBytes: number): LeftOutSample {
  const sample = { index, path, reason: shortened(reason, MAX_REASON) };
  if (jsonBytes(sample) < maxBytes) return sample;
  const short = { ...sample, reason: shortened(reason, SHORTENED) };
  return jsonBytes(short) < maxBytes ? short : { ...short, path: shortened(path, SHORTENED) };
}

function shortened(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length) + " …";
}

function jsonBytes(sample: LeftOutSample): number {
  return new TextEncoder().encode(JSON.stringify(sample)).length;
}

/** The samples that one rank left out of one step, by part of its message. */
type Parts = Map<number, readonly LeftOutSample[]>;

/** The coordinator's end: keeps the samples of steps that are not on record yet. */
export class SkippedFacts implements Disposable {
  /** Reports about steps that are not finite, which come on the same subject. */
  readonly nonFinite = new NonFiniteReports();
  readonly #link: SkippedLink;
  #subscription: { unsubscribe(): void } | undefined;
  readonly #steps = new Map<
    string,
    { readonly key: StepKey; readonly ranks: Map<number, Parts> }
  >();
  /** The first step whose samples were not taken. */
  #next: StepKey = { epoch: 0, step: 0 };

  constructor(link: SkippedLink) {
    this.#link = link;
  }

  /**
   * Listens to the ranks of the present generation, and no longer to those of one before.
   *
   * @param from The step that they compute first, perhaps again: of it and the ones after it nothing is known now
   */
  listen(from?: StepKey): void {
    this.#subscription?.unsubscribe();
    if (from) this.#forget(from);
    const { subjects } = this.#link;
    this.#subscription = this.#link.subscribe(subjects.skipped("*"), {
      skippedSamples: (message) => this.#note(message),
      nonFinite: (message) => this.nonFinite.note(message),
    });
  }

  #forget(from: StepKey): void {
    for (const [name, { key }] of this.#steps) {
      if (compareSteps(key, from) >= 0) this.#steps.delete(name);
    }
    if (compareSteps(from, this.#next) < 0) this.#next = from;
  }

  /**
   * Gives the samples of a span of steps, in the order of steps and ranks. Those of earlier steps are forgotten.
   *
   * @param end The step before which the span ends
   */
  take(epoch: number, startStep: number, end: number): LeftOutSample[] {
    this.#next = { epoch, step: end };
    const done = [...this.#steps].filter(([, { key }]) => compareSteps(key, this.#next) < 0);
    for (const [name] of done) this.#steps.delete(name);
    return done.map(([, facts]) => facts)
      .filter(({ key }) => key.epoch === epoch && key.step >= startStep)
      .toSorted((a, b) => compareSteps(a.key, b.key))
      .flatMap(({ ranks }) => inOrder(ranks).flatMap((parts) => inOrder(parts).flat()));
  }

  [Symbol.dispose](): void {
    this.#subscription?.unsubscribe();
  }

  #note({ header: { rank, epoch, step, part, samples } }: Incoming<"skippedSamples">): void {
    const key = { epoch, step };
    // A message that was repeated may come after its step is on record.
    if (compareSteps(key, this.#next) >= 0) this.#partsAt(key, rank).set(part, samples);
    this.#link.publish(this.#link.subjects.noted(rank), "noted", { ...key, part });
  }

  #partsAt(key: StepKey, rank: number): Parts {
    const name = `${key.epoch}/${key.step}`;
    const facts = this.#steps.getOrInsertComputed(name, () => ({ key, ranks: new Map() }));
    return facts.ranks.getOrInsertComputed(rank, () => new Map());
  }
}

function inOrder<T>(numbered: ReadonlyMap<number, T>): T[] {
  return [...numbered].sort(([a], [b]) => a - b).map(([, value]) => value);
}
