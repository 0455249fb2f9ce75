/**
 * Tries out on made images that a step with a user's own network, loss and metrics works, before a worker starts.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { findNonFinite } from "../base/float32.ts";
import type { Config } from "../config/schema.ts";
import { outputSize } from "../data/transforms/transform_specs.ts";
import { classesOf } from "../models/heads.ts";
import type { LabelledImages } from "./labelled_images.ts";
import type { Replica } from "./replica.ts";

const ROWS = 2;
/** Greatest relative difference of two vectors of gradients that count as the same. */
const TOLERANCE = 1e-3;

/**
 * Takes half a training step twice and scores once, with the run's image sizes; the replica's state stays as it is.
 *
 * @throws {LockstepError} when something fails, naming the layer or function
 * @throws {UsageError} when the same step doesn't give the same gradients: then something draws random numbers; when
 * the network begins with parameters that are not finite, or gives outputs or losses that aren't
 */
export async function dryRun(replica: Replica, { data, model, train, validate }: Config) {
  if (!model.module && !train.lossModule && !validate.metricsModule) return;
  requireFiniteStart(replica, model.module);
  const place = { seed: [1, 2], globalRows: ROWS, rowOffset: 0 } as const;
  const batch = madeBatch(outputSize(data.train)!, classesOf(replica.model));
  await replica.forwardBackward(batch, place);
  const first = await readGradients(replica);
  await replica.forwardBackward(batch, place); // statistics are as they were
  const difference = relativeDifference(first, await readGradients(replica));
  if (difference > TOLERANCE) {
    const what = model.module ?? train.lossModule;
    throw new UsageError(
      `The same step of ${what} gives other gradients each time: something in it draws random numbers by itself, so ` +
        "that workers would differ; use tf.layers.dropout, which draws from the run's seed",
    );
  }
  const { ranked, losses } = await replica.evaluate(
    madeBatch(outputSize(data.val)!, classesOf(replica.model)),
  );
  if (ranked.some((first) => first < 0)) {
    throw new UsageError(
      `The network of ${
        model.module ?? model.name
      } gives NaN or infinite outputs for images before it has learned ` +
        "anything: mend it, or its weights",
    );
  }
  if (findNonFinite(losses) >= 0) {
    throw new UsageError(
      `The loss ${
        train.lossModule ?? train.loss
      } is NaN or infinite for finite outputs of the untrained network: ` +
        "mend it, such as with a small number added in logarithms and roots",
    );
  }
}

/** A module of the user's own may set any values. */
function requireFiniteStart({ state }: Replica, module: string | undefined): void {
  if (!module) return;
  for (const { name, variable } of state.parameters) {
    const at = findNonFinite(variable.dataSync() as Float32Array);
    if (at < 0) continue;
    throw new UsageError(
      `model.module: the network of ${module} begins with ${
        variable.dataSync()[at]
      } in ${name}: give it initial values that are finite`,
    );
  }
}

function madeBatch(
  [height, width]: readonly [number, number],
  classes: number,
): LabelledImages {
  const images = Float32Array.from(
    { length: ROWS * height * width * 3 },
    (_, index) => Math.sin(index * 12.9898),
  );
  const labels = Int32Array.from({ length: ROWS }, (_, row) => row % classes);
  return { images, labels, height, width };
}

function floatsOf({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array {
  return new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4);
}

/** ‖a − b‖ / ‖b‖; 0 where both are non-finite at the same places. */
function relativeDifference(a: Float32Array, b: Float32Array): number {
  let difference = 0, norm = 0;
  b.forEach((value, index) => {
    if (Object.is(a[index], value)) return void (norm += Number.isFinite(value) ? value ** 2 : 0);
    difference += (a[index] - value) ** 2;
    norm += value ** 2;
  });
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

async function readGradients({ state: { buffers: { vector } } }: Replica): Promise<Float32Array> {
  const bytes = new Uint8Array(vector.byteLength);
  await vector.download(bytes);
  return floatsOf(bytes);
}
