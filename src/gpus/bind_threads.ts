/**
 * Binds a process to the CPUs near its GPU, so that images and gradients needn't cross to another NUMA node.
 *
 * @module
 */

/** Bytes of a mask of CPUs: one bit each. */
const MASK_BYTES = 1024;
/** The calling thread, and those that it will start. */
const THIS_THREAD = 0;

const openLibc = () =>
  Deno.dlopen("libc.so.6", {
    sched_getaffinity: {
      parameters: ["i32", /* thread */ "usize", /* bytes */ "buffer" /* mask */],
      result: "i32",
    },
    sched_setaffinity: {
      parameters: ["i32", /* thread */ "usize", /* bytes */ "buffer" /* mask */],
      result: "i32",
    },
  });

/**
 * Binds the calling thread, and all threads that it starts from now on, to those of some CPUs that it may use now. A
 * scheduler's or container's own limits stay: where they leave none of these CPUs, nothing is bound.
 *
 * Linux only.
 *
 * @param cpus Numbers of the CPUs
 * @returns The CPUs that the thread is bound to; empty when it isn't
 */
export function bindThreads(cpus: readonly number[]): number[] {
  if (Deno.build.os !== "linux") return [];
  const libc = openLibc();
  try {
    const allowed = new Uint8Array(MASK_BYTES);
    const { sched_getaffinity, sched_setaffinity } = libc.symbols;
    if (sched_getaffinity(THIS_THREAD, BigInt(MASK_BYTES), allowed) !== 0) return [];
    const wanted = cpus.filter((cpu) => hasCpu(allowed, cpu));
    if (wanted.length === 0) return [];
    const mask = new Uint8Array(MASK_BYTES);
    for (const cpu of wanted) mask[cpu >> 3]! |= 1 << (cpu & 7);
    return sched_setaffinity(THIS_THREAD, BigInt(MASK_BYTES), mask) === 0 ? wanted : [];
  } finally {
    libc.close();
  }
}

function hasCpu(mask: Uint8Array, cpu: number): boolean {
  return ((mask[cpu >> 3] ?? 0) & (1 << (cpu & 7))) !== 0;
}
