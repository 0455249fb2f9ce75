/**
 * The most memory that this process has had in RAM, also that of native code (Linux alone).
 *
 * @module
 */

/** Measures a stretch of work. */
export class PeakMemory {
  #before = 0;
  #isKnown = Deno.build.os === "linux";

  /** Begins a stretch. */
  reset(): void {
    if (!this.#isKnown) return;
    try {
      Deno.writeTextFileSync("/proc/self/clear_refs", "5"); // the peak is the present size (proc(5))
      this.#before = peakBytes();
    } catch {
      this.#isKnown = false; // a kernel without it
    }
  }

  /** The bytes by which the peak of the stretch lies above its beginning. */
  growth(): number {
    return this.#isKnown ? peakBytes() - this.#before : 0;
  }
}

function peakBytes(): number {
  const [, kilobytes = "0"] =
    /^VmHWM:\s+(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/self/status")) ?? [];
  return 1024 * Number(kilobytes);
}
