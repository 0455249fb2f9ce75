/**
 * A pause that a computation of known length stands for.
 *
 * @module
 */
import { LIBC } from "../engine/binding/native_environment.ts";

const openLibc = () =>
  Deno.dlopen(LIBC, {
    usleep: { parameters: ["u32" /* microseconds */], result: "i32", nonblocking: true },
  }).symbols;

let opened: ReturnType<typeof openLibc> | undefined;

/** Waits on another thread, to a tenth of a millisecond: timers of the event loop are up to a millisecond late. */
export async function precisePause(milliseconds: number): Promise<void> {
  opened ??= openLibc();
  await opened.usleep(Math.round(1000 * milliseconds));
}
