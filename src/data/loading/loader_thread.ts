/**
 * A loader thread: it takes rows of the open steps and makes them, until it is told to end. Started by
 * {@linkcode LoaderThreads}.
 *
 * @module
 */
import { LockstepError } from "../../base/errors.ts";
import { forbidExit } from "../../base/forbid_exit.ts";
import { attachEngine } from "../../engine/native_runtime.ts";
import { sourceOf } from "../datasets/source_recipe.ts";
import { TransformPipeline } from "../transforms/transforms.ts";
import { DiskImages } from "./disk_images.ts";
import { LocalCache } from "./image_cache.ts";
import { augmentation, RowMaker } from "./row_maker.ts";
import { openCache } from "./shared_images.ts";
import {
  type MakerRecipe,
  ThreadControl,
  type ThreadMail,
  type ThreadReport,
  type ThreadStart,
} from "./thread_control.ts";
import { describeError } from "./thread_errors.ts";
import { ROW_STATES, type RowState, ThreadSlot } from "./thread_slot.ts";

/** This side of the channel to the main thread. */
interface Channel {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: ThreadReport): void;
  close(): void;
}

/** The work of one loader thread. */
class LoaderThread {
  readonly #control: ThreadControl;
  readonly #channel: Channel;
  readonly #thread: number;
  /** Messages are taken one after the other. */
  #turn: Promise<void> = Promise.resolve();
  /** True if a user's code runs here, which may need the event loop. */
  #runsModules = false;
  readonly #slots = new Map<number, ThreadSlot>();
  readonly #makers = new Map<number, RowMaker>();
  readonly #resources = new DisposableStack();
  /** Messages that were read. */
  #read = 0;
  #onRead: (() => void) | undefined;

  constructor({ control, threads, thread }: ThreadStart, channel: Channel) {
    this.#control = new ThreadControl(threads, control);
    this.#thread = thread;
    this.#channel = channel;
    channel.onmessage = ({ data }) => {
      this.#turn = this.#turn.then(() => this.#take(data));
    };
  }

  /** Makes rows until the main thread says stop. */
  async serve(): Promise<void> {
    const control = this.#control;
    while (true) {
      const { pulse } = control;
      if (control.stops) break;
      if (this.#read < control.mail) await this.#nextMail();
      else if (await this.#makeRow()) continue;
      else if (this.#runsModules) await control.idle(pulse);
      else control.sleep(pulse);
    }
    this.#resources.dispose();
  }

  async #take(mail: ThreadMail): Promise<void> {
    try {
      await this.#apply(mail);
    } catch (error) {
      this.#channel.postMessage({ kind: "broken", error: describeError(error) });
    }
    this.#read++;
    this.#onRead?.();
  }

  async #apply(mail: ThreadMail): Promise<void> {
    switch (mail.kind) {
      case "engine":
        return attachEngine(mail.address);
      case "maker":
        return await this.#addMaker(mail.id, mail.recipe);
      case "slot":
        this.#slots.set(mail.id, new ThreadSlot(mail.id, mail.buffer));
        return;
      case "noSlot":
        this.#slots.delete(mail.id);
    }
  }

  async #addMaker(id: number, recipe: MakerRecipe): Promise<void> {
    this.#runsModules ||= recipe.source.kind === "module";
    const source = await sourceOf(
      recipe.source,
      (index) => this.#control.setMaking(this.#thread, index),
    );
    const pipeline = new TransformPipeline(recipe.transforms);
    const cache = recipe.cache ? openCache(recipe.cache) : new LocalCache(0);
    const disk = recipe.disk && this.#resources.use(new DiskImages(recipe.disk));
    this.#resources.use(source);
    this.#makers.set(id, new RowMaker({ source, pipeline, cache, disk }));
  }

  /** Lets the event loop deliver a message. */
  async #nextMail(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRead = resolve;
    await promise;
    this.#onRead = undefined;
  }

  /** Makes one row of the oldest open step; `false` when there is none. */
  async #makeRow(): Promise<boolean> {
    const open = this.#control.first;
    if (!open) return false;
    const slot = await this.#found(this.#slots, open.slot);
    const row = slot?.take();
    if (slot === undefined || row === undefined) {
      this.#control.pass(open.position);
      return true;
    }
    const maker = await this.#found(this.#makers, slot.maker);
    let state: RowState = ROW_STATES.failed;
    try {
      if (!maker) throw new Error(`There is no row maker ${slot.maker}`);
      state = slot.isCancelled ? ROW_STATES.failed : await makeRow(slot, maker, row);
    } catch (error) {
      this.#report(slot, row, error);
    }
    if (slot.made(row, state)) this.#finish(slot, maker);
    return true;
  }

  /** Finishes a step whose rows are all made. */
  #finish(slot: ThreadSlot, maker: RowMaker | undefined): void {
    if (!slot.isCancelled) {
      const { planned, mix } = slot.step;
      const usable = slot.states().map((state) => state !== ROW_STATES.failed);
      maker?.finish(slot.rows, usable, planned, mix);
    }
    slot.finish();
  }

  #report(slot: ThreadSlot, row: number, error: unknown): void {
    this.#channel.postMessage({
      kind: "failed",
      ticket: slot.ticket,
      row,
      error: describeError(error),
    });
  }

  /** Returns the item that a message has brought, or will bring. */
  async #found<T>(items: ReadonlyMap<number, T>, id: number): Promise<T | undefined> {
    while (!items.has(id) && this.#read < this.#control.mail) await this.#nextMail();
    return items.get(id);
  }
}

async function makeRow(slot: ThreadSlot, maker: RowMaker, row: number): Promise<RowState> {
  const { sample, state } = slot.row(row);
  if (state === ROW_STATES.unread) return state;
  const { seed, epoch } = slot.step;
  const random = augmentation(seed, epoch, sample.index);
  const prepared = maker.isSync
    ? maker.readSync(sample, random, epoch)
    : await maker.read(sample, random, epoch);
  const own = maker.write(prepared, sample, random, slot.rows, row);
  if (own) {
    throw new LockstepError(
      `${sample.path} is an image of floats, which a loader thread can't hand over: give bytes, or leave inThreads out ` +
        "of the data set",
    );
  }
  return ROW_STATES.image;
}

const channel = self as unknown as Channel;
forbidExit();
channel.onmessage = async ({ data }: MessageEvent<ThreadStart>) => {
  const thread = new LoaderThread(data, channel);
  channel.postMessage({ kind: "ready" });
  try {
    await thread.serve();
  } catch (error) {
    channel.postMessage({ kind: "broken", error: describeError(error) });
  }
  channel.postMessage({ kind: "ended" });
};
