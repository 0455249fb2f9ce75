/**
 * Abort signals of callers in the functions of the library: an InterruptedError, and nothing left behind.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  compare,
  evaluate,
  exportRun,
  InterruptedError,
  loadCheckpoint,
  openEngine,
  predict,
  train,
  type TrainOptions,
} from "../../mod.ts";
import { interruptedBy, interruptionOf } from "../../src/base/interruption.ts";
import { exists } from "../../src/base/paths.ts";
import { download } from "../../src/provision/download.ts";
import { progressUntil } from "../../src/provision/progress.ts";
import { fetchWheel } from "../../src/provision/wheel.ts";
import { silentReporter } from "../../src/events/reporter.ts";
import { withVariables } from "../support/environment.ts";
import { makeImages } from "../support/images.ts";
import { allGone, descendantsOf } from "../support/processes.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";
import { lastState, newestRun, tinyConfig } from "../support/tiny_run.ts";

/** A signal that counts who listens to it. */
class CountedSignal {
  readonly #controller = new AbortController();
  listeners = 0;

  get signal(): AbortSignal {
    const { signal } = this.#controller;
    const { addEventListener, removeEventListener } = AbortSignal.prototype;
    return Object.assign(signal, {
      addEventListener: (...args: Parameters<typeof addEventListener>) => {
        this.listeners++;
        addEventListener.apply(signal, args);
      },
      removeEventListener: (...args: Parameters<typeof removeEventListener>) => {
        this.listeners--;
        removeEventListener.apply(signal, args);
      },
    });
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }
}

/** Asserts that work ends with an interruption by the signal, and that nothing is left of it. */
async function assertInterrupted(
  work: (signal: AbortSignal, abort: () => void) => Promise<unknown>,
): Promise<void> {
  const reason = new Error("that will do");
  const counted = new CountedSignal();
  await assert.rejects(work(counted.signal, () => counted.abort(reason)), (error) => {
    assert.ok(error instanceof InterruptedError, Deno.inspect(error));
    assert.equal(error.message, "Interrupted by an abort signal: that will do");
    assert.equal(error.cause, reason);
    assert.equal(error.exitCode, 130);
    return true;
  });
  assert.equal(counted.listeners, 0, "listeners that are left");
  await allGone(await descendantsOf(Deno.pid));
}

Deno.test("interruptionOf() makes an interruption of whatever the reason is", () => {
  const own = new InterruptedError("Interrupted by SIGTERM", "SIGTERM");
  assert.equal(interruptionOf(own), own);
  assert.equal(
    interruptionOf(AbortSignal.abort().reason).message,
    "Interrupted by an abort signal",
  );
  assert.equal(interruptionOf("lunch").message, "Interrupted by an abort signal: lunch");
  assert.equal(interruptionOf(undefined).message, "Interrupted by an abort signal: undefined");
  assert.throws(() => interruptedBy(AbortSignal.abort(own)), own);
});

Deno.test("an abort signal ends a time limit's run with the limit's words", async () => {
  const signal = AbortSignal.timeout(1);
  using derived = interruptedBy(signal);
  await new Promise((resolve) => derived.signal!.addEventListener("abort", resolve));
  assert.match(derived.signal!.reason.message, /^Interrupted by an abort signal: .*time/i);
});

Deno.test("train() stops in each phase with a whole checkpoint, and goes on from there", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const config = tinyConfig(root);
    const out = join(folder, "runs");
    await assertInterrupted((signal, abort) => {
      abort();
      return train(config, { signal });
    });
    assert.ok(!await exists(out), "a signal that has fired begins nothing");
    await assertInterrupted((signal, abort) => {
      setTimeout(abort, 0); // while images are looked for and the model is built
      return train(config, { signal });
    });
    assert.ok(!await exists(out), "nor does one that fires while the run is prepared");

    const at = (when: (abort: () => void) => TrainOptions, more: TrainOptions = {}) =>
      assertInterrupted((signal, abort) => train(config, { signal, ...more, ...when(abort) }));
    const listening = (method: "info" | "phase", abort: () => void, pattern: RegExp) => ({
      reporter: Object.assign(silentReporter(), {
        [method]: (event: unknown) => pattern.test(JSON.stringify(event)) && abort(),
      }),
    });
    await at((abort) => listening("info", abort, /^"Run folder: /)); // the workers are still to come
    const run = await newestRun(out);
    const going = { resume: run };
    assert.deepEqual(await position(run), [1, 0]);
    const joining = (abort: () => void) => () => void setTimeout(abort, 300);
    await at((abort) => listening("info", joining(abort), /^"Run folder: /), going);
    assert.deepEqual(await position(run), [1, 0]);
    await at((abort) => ({ onStep: () => abort() }), going);
    const [, steps] = await position(run);
    assert.ok(steps >= 1, `step ${steps}`);
    await at((abort) => listening("phase", abort, /"name":"validate","epoch":1/), going);
    await at((abort) => ({ onEpoch: ({ epoch }) => void (epoch === 1 && abort()) }), going);
    const { history } = await train(config, going);
    assert.deepEqual(history.epochs.map(({ epoch }) => epoch), [1, 2]);

    await checkUsers(folder, root, run);
  }));

/** Returns the position of a run's last checkpoint. */
async function position(run: string): Promise<[epoch: number, step: number]> {
  const { epoch, step } = await lastState(run);
  return [epoch, step];
}

/** Checks the functions that use a trained model. */
async function checkUsers(folder: string, root: string, run: string): Promise<void> {
  await openEngine();
  const { model } = await loadCheckpoint(join(run, "checkpoints", "best"));
  const aborted = (work: (signal: AbortSignal) => Promise<unknown>) =>
    assertInterrupted((signal, abort) => {
      abort();
      return work(signal);
    });
  const soon = (work: (signal: AbortSignal) => Promise<unknown>) =>
    assertInterrupted((signal, abort) => {
      queueMicrotask(abort);
      return work(signal);
    });
  const exported = join(folder, "exported");
  for (const when of [aborted, soon]) {
    await when((signal) => evaluate(model, root, { signal }));
    await when((signal) => Array.fromAsync(predict(run, [root], { signal })));
    await when((signal) => exportRun({ run, out: exported, signal }));
    assert.ok(!await exists(join(exported, "model.safetensors")));
  }
  model.dispose();
  await assertInterrupted(async (signal, abort) => {
    for await (const _ of predict(run, [root], { signal, batchSize: 1 })) abort();
  });
  const variants = { A: tinyConfig(root), B: tinyConfig(root, { seed: 1 }) };
  const out = join(folder, "compared");
  await aborted((signal) => compare(variants, { signal, out }));
  assert.ok(!await exists(out));
}

Deno.test("compare() stops its runs, and their processes are gone", () =>
  withTemporaryFolder(async (folder) => {
    const root = join(folder, "images");
    await makeImages(root);
    const variants = { A: tinyConfig(root, { train: { epochs: 200 } }), B: tinyConfig(root) };
    await assertInterrupted((signal, abort) =>
      compare(variants, {
        signal,
        out: join(folder, "compared"),
        reporter: {
          info: () => {},
          warn: () => {},
          run: () => Object.assign(silentReporter(), { epochDone: abort }),
        },
      })
    );
  }));

Deno.test("a program of the set-up ends with its signal", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "python3"), "#!/bin/sh\nexec sleep 600\n", {
      mode: 0o755,
    });
    using _path = withVariables({ PATH: `${folder}:${Deno.env.get("PATH")}` });
    await assertInterrupted(async (caller, abort) => {
      using interruption = interruptedBy(caller);
      setTimeout(abort, 200);
      const progress = progressUntil(interruption.signal, () => {});
      const wheel = { name: "none", version: "1", bytes: 1, sha256: "" };
      await fetchWheel(wheel, folder, { what: "a wheel", manually: "don't", progress });
    });
  }));

Deno.test("a download ends with its signal, and keeps what is here for the next attempt", () =>
  withTemporaryFolder(async (folder) => {
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () =>
        new Response(
          new ReadableStream({
            start: (stream) => stream.enqueue(new Uint8Array(1_000)),
            cancel: () => close(), // it would never end
          }),
        ),
    );
    const path = join(folder, "file");
    await assertInterrupted(async (caller, abort) => {
      using interruption = interruptedBy(caller);
      const progress = progressUntil(
        interruption.signal,
        ({ bytes }) => bytes === 1_000 && abort(),
      );
      await download(`http://127.0.0.1:${server.addr.port}/`, path, "a file", progress);
    });
    await closed;
    assert.equal((await Deno.stat(path)).size, 1_000);
  }));
