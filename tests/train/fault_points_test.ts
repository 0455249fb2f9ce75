import assert from "node:assert/strict";
import { delay, within } from "../../src/base/async.ts";
import { FAULT_VARIABLE, type FaultPoint } from "../../src/base/fault_point.ts";
import { createSharedSegment, mapSharedSegment } from "../../src/base/shared_memory.ts";
import { readLines } from "../../src/hosts/lines.ts";
import { Meeting, meetingBytes } from "../../src/exchange/meeting.ts";
import { segmentBytes } from "../../src/exchange/shared_layout.ts";
import { SharedReducer } from "../../src/exchange/shared_reducer.ts";
import type { ExchangeShape } from "../../src/exchange/step_buffers.ts";
import type { FaultCommand, FaultReply, FaultShape } from "../support/fault_worker.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const WORKER = `${PROJECT}tests/support/fault_worker.ts`;
const WORLD_SIZE = 2;
const STEPS = 4;
/** The step in which a rank dies: two are committed. */
const STEP = 2;

/** A rank in a process of its own. */
class Rank implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;
  /** The shape of its vectors. */
  readonly shape: Promise<FaultShape>;

  constructor(fault?: FaultPoint) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-check", "-A", "--config", `${PROJECT}deno.json`, WORKER],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: fault ? { [FAULT_VARIABLE]: `${fault}:1:${STEP}` } : {},
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#lines = readLines(this.#process.stdout)[Symbol.asyncIterator]();
    this.shape = this.#next<FaultShape>();
  }

  async send(command: FaultCommand | "end"): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
  }

  reply(): Promise<FaultReply> {
    return this.#next<FaultReply>();
  }

  /** The signal that ended the process. */
  async death(): Promise<Deno.Signal | null> {
    const end = within(this.#process.status, 60_000, () => new Error("it lives on"));
    return (await end).signal;
  }

  async #next<T>(): Promise<T> {
    const { done, value } = await within(
      this.#lines.next(),
      60_000,
      () => new Error("no answer for 60 s"),
    );
    assert.ok(!done, "the rank has ended");
    return JSON.parse(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
    await this.#lines.return?.();
  }
}

/** Has two ranks train; the coordinator's end is in this process. */
async function train<T>(
  ranks: readonly Rank[],
  shape: ExchangeShape,
  follow: (meeting: Meeting) => Promise<T>,
): Promise<T> {
  using segment = createSharedSegment("lockstep-fault", segmentBytes(shape));
  const { path, bytes, ownPath } = segment;
  const memory = mapSharedSegment(ownPath, bytes);
  const reducer = new SharedReducer(shape, memory);
  const ending = new AbortController();
  const reducing = (async () => {
    for (let step = 0; step < STEPS; step++) {
      const options = { signal: ending.signal, ahead: STEPS - step };
      await reducer.reduce({ epoch: 1, step }, () => "continue", options);
    }
  })();
  reducing.catch(() => {});
  await Promise.all(
    ranks.map((rank, index) =>
      rank.send({ rank: index, shape, steps: STEPS, segment: { path, bytes } })
    ),
  );
  const meeting = memory.subarray(0, meetingBytes(WORLD_SIZE));
  const result = await follow(new Meeting(meeting, WORLD_SIZE));
  ending.abort(new Error("the test ends"));
  await reducer.close();
  return result;
}

/** Waits until a rank has done whatever it can do without another one. */
async function untilStill(meeting: Meeting, rank: number): Promise<void> {
  for (let last = "", looks = 0; looks < 25; looks++) { // not by the clock: the machine may stand still
    const place = JSON.stringify(meeting.placeOf(rank));
    if (place !== last) looks = 0;
    last = place;
    await delay(20);
  }
}

/** The number of steps that the survivor has taken when the other rank dies at a point. */
type Expected = readonly [point: FaultPoint, survivor: number, committed: number];

const SHARDS: readonly Expected[] = [
  ["gradients", 2, 2],
  ["record", 2, 2],
  ["between-chunks", 2, 2],
  ["after-sum", 2, 2],
  ["sum-to-update", 2, 2],
  ["update", 2, 2],
  ["before-commit", 2, 2],
  ["after-commit", 3, 3],
];
// A rank that has the whole sum completes the step without the others.
const WHOLE: readonly Expected[] = [
  ["slot", 2, 2],
  ["record", 2, 2],
  ["between-chunks", 3, 2],
  ["before-commit", 3, 2],
];

Deno.test("a rank that is killed at any point of a step leaves the state after a whole number of steps everywhere", async (t) => {
  await using survivor = new Rank();
  const cases = [
    ...SHARDS.map((expected) => ({ maxWholeBytes: 0, expected })),
    ...WHOLE.map((expected) => ({ maxWholeBytes: Infinity, expected })),
  ];
  const other = new Rank();
  const { vectorBytes, regions, gradientBytes } = await survivor.shape;
  const wire = { dtype: "float32", gradientBytes } as const;
  const shapeWith = (maxWholeBytes: number) => ({
    ...{ worldSize: WORLD_SIZE, vectorBytes, regions, wire },
    maxWholeBytes: Math.min(maxWholeBytes, 2 ** 30),
  });
  const undisturbed = new Map<number, readonly string[]>();
  {
    await using _other = other;
    for (const maxWholeBytes of [0, Infinity]) {
      await train([survivor, other], shapeWith(maxWholeBytes), async () => {
        const [{ states, last }] = await Promise.all([survivor.reply(), other.reply()]);
        assert.equal(states.length, STEPS + 1);
        assert.equal(new Set(states).size, STEPS + 1);
        assert.equal(last, states.at(-1));
        undisturbed.set(maxWholeBytes, states);
      });
    }
  }
  for (const { maxWholeBytes, expected: [point, steps, committed] } of cases) {
    await t.step(`${point}, ${maxWholeBytes === 0 ? "shards" : "whole sums"}`, async () => {
      await using victim = new Rank(point);
      await victim.shape;
      const reply = await train([survivor, victim], shapeWith(maxWholeBytes), async (meeting) => {
        assert.equal(await victim.death(), "SIGKILL");
        await untilStill(meeting, 0);
        await survivor.send("end");
        return await survivor.reply();
      });
      assert.equal(reply.committed, committed, "committed");
      const known = undisturbed.get(maxWholeBytes)!;
      assert.equal(reply.states.length - 1, steps, "steps that the survivor has taken");
      assert.equal(known.indexOf(reply.last), steps, "the bits of the undisturbed run");
    });
  }
});
