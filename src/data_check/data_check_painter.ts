/**
 * Paints `data-check.png` in a process of its own: the library that draws is native code, which the process of
 * `data check`, with its network and its right to write, doesn't get (docs/permissions.md).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { LockstepError } from "../base/errors.ts";
import { type OwnProgram, programCommand } from "../base/programs.ts";
import { ignoreStopSignals } from "../base/signals.ts";
import type { ShownPair } from "./check_data.ts";
import type { PaintedRecord } from "./data_check_picture.ts";
import { FONT_FILES } from "../plots/font.ts";

/** Name of the image. */
export const DATA_CHECK_IMAGE = "data-check.png";

const PAINTER: OwnProgram = { entry: "workers/check_painter.ts", permissions: "check-painter" };

/** The message to the painter. */
interface Order {
  readonly record: PaintedRecord;
  readonly pairs: readonly {
    readonly finding: ShownPair["finding"];
    readonly images: readonly { width: number; height: number; data: string }[];
  }[];
}

/**
 * Returns the image as a PNG file, from a process that a signal ends.
 *
 * @throws {LockstepError} when it can't be painted
 */
export async function dataCheckPicture(
  { data, sides, classes, counts }: PaintedRecord,
  pairs: readonly ShownPair[],
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const order: Order = {
    record: { data, sides, classes, counts },
    pairs: pairs.map(({ finding, images }) => ({
      finding,
      images: images.map(({ width, height, data }) => ({
        width,
        height,
        data: Buffer.from(data).toString("base64"),
      })),
    })),
  };
  signal?.throwIfAborted();
  const process = programCommand(PAINTER, {
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = process.output();
  const kill = () => {
    try {
      process.kill("SIGKILL"); // it ignores the others
    } catch {
      // It ended by itself at the same moment.
    }
  };
  signal?.addEventListener("abort", kill);
  try {
    const sent = new Response(JSON.stringify(order)).body!.pipeTo(process.stdin);
    await sent.catch(() => {}); // a painter that ended early says why below
    const { success, stdout, stderr } = await output;
    signal?.throwIfAborted();
    if (success) return stdout;
    const said = new TextDecoder().decode(stderr).trim().split("\n").slice(0, 3).join("; ");
    throw new LockstepError(`${DATA_CHECK_IMAGE} can't be painted: ${said}`);
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

/** The painter: an order on standard input, a PNG on standard output. */
export async function runPainter(): Promise<number> {
  ignoreStopSignals();
  const order: Order = JSON.parse(await new Response(Deno.stdin.readable).text());
  const pairs = order.pairs.map(({ finding, images }): ShownPair => {
    const [a, b] = images.map(({ width, height, data }) => ({
      width,
      height,
      data: new Uint8Array(Buffer.from(data, "base64")),
    }));
    return { finding, images: [a, b] };
  });
  const { paintDataCheck } = await import("./data_check_picture.ts"); // loads what draws
  const png = await paintDataCheck(order.record, pairs, FONT_FILES);
  for (let at = 0; at < png.length;) at += await Deno.stdout.write(png.subarray(at));
  return 0;
}
