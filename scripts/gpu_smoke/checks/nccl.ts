/**
 * Sums known values over all cards by NCCL, as training does at its start, and measures a sum of ResNet-18's size.
 *
 * @module
 */
import { join } from "node:path";
import { createSharedSegment, mapSharedSegment } from "../../../src/base/shared_memory.ts";
import { engineGpu } from "../../../src/engine/nccl_device.ts";
import { boardBytes, NoticeBoard } from "../../../src/exchange/notice_board.ts";
import { type NcclParts, openNccl } from "../../../src/exchange/open_nccl.ts";
import type { CheckContext, Outcome, SmokeCheck } from "../check.ts";
import { failureOf, onEachCard } from "../each_card.ts";
import { openSmokeEngine } from "../engine.ts";

/** The check. */
export const CHECK: SmokeCheck = {
  name: "nccl",
  title: "that NCCL sums known values over all cards, and how fast",
  limitSeconds: 100,
  cards: "all",
  needsGpu: true,
  run,
};

/** Place of a rank, in a file of the folder of its process. */
interface RankPlace {
  readonly rank: number;
  readonly worldSize: number;
  /** Memory with a notice board. */
  readonly segment: { readonly path: string; readonly bytes: number };
}

const PLACE_FILE = "rank.json";
/** Length of ResNet-18's vector. */
const FULL_FLOATS = 11_180_000;
const SHORT_FLOATS = 300_000;
const ROUNDS = 10;
const LIMITS = { timeoutMs: 60_000 };

async function run(context: CheckContext): Promise<Outcome> {
  const place = await placeIn(context.folder);
  if (place) return await sumOn(context, place);
  const { gpus } = context;
  const [gpu] = gpus;
  if (!gpu) return { status: "skip", figure: "no GPU" };
  if (gpus.some(({ uuid }) => uuid.startsWith("MIG"))) {
    return { status: "skip", figure: "NCCL doesn't sum over instances of a GPU in MIG mode" };
  }
  const worldSize = gpus.length;
  using segment = createSharedSegment("gpu-smoke", boardBytes(worldSize));
  for (let rank = 0; rank < worldSize; rank++) {
    const folder = join(context.folder, `${CHECK.name}-${rank}`);
    await Deno.mkdir(folder, { recursive: true });
    const { path, bytes } = segment;
    const own: RankPlace = { rank, worldSize, segment: { path, bytes } };
    await Deno.writeTextFile(join(folder, PLACE_FILE), JSON.stringify(own));
  }
  const outcomes = await onEachCard(CHECK, context);
  return failureOf(outcomes) ?? { ...outcomes[0]!, details: outcomes };
}

async function placeIn(folder: string): Promise<RankPlace | undefined> {
  const text = await Deno.readTextFile(join(folder, PLACE_FILE)).catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text);
}

/** One rank's part. */
async function sumOn(
  context: CheckContext,
  { rank, worldSize, segment }: RankPlace,
): Promise<Outcome> {
  await openSmokeEngine(context);
  const floats = context.size === "full" ? FULL_FLOATS : SHORT_FLOATS;
  const memory = mapSharedSegment(segment.path, segment.bytes);
  const device = engineGpu(context.gpus[0]!.uuid);
  const { version } = await device.open(false);
  const outcome = await openNccl({
    ...{ rank, worldSize, device },
    vectorBytes: Float32Array.BYTES_PER_ELEMENT * floats,
    gradientFloats: floats,
    board: new NoticeBoard(memory, rank, worldSize),
    limits: { rankMs: 60_000, joinMs: 30_000, trialMs: 20_000 },
  });
  if (!("parts" in outcome)) return { status: "fail", figure: outcome.reason ?? "no GPU" };
  const { parts } = outcome;
  const millis = await timeSums(parts, worldSize);
  await parts.communicator.close();
  const gigabytes = Float32Array.BYTES_PER_ELEMENT * floats / 1e9;
  const speed = gigabytes / (millis / 1000);
  return {
    status: "pass",
    figure: `NCCL ${version}: ${worldSize === 1 ? "1 card" : `${worldSize} cards`}, ` +
      `${(1000 * gigabytes).toFixed(1)} MB in ${millis.toFixed(2)} ms (${speed.toFixed(1)} GB/s)`,
    details: { version, worldSize, floats, millis },
  };
}

/** The median time of a sum, in milliseconds. */
async function timeSums({ sum }: NcclParts, worldSize: number): Promise<number> {
  const shares = new Array<number>(worldSize).fill(1 / worldSize);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    await sum.finish({ gradients: shares, statistics: shares }, LIMITS);
    times.push(performance.now() - begin);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}
