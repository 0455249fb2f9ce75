/**
 * Functions of NCCL (nccl.h of 2.14 and newer), with the C names of their parameters.
 *
 * @module
 */

const B = "buffer" as const;
const COMM = "u64" as const;

/** Bytes of `ncclUniqueId`. */
export const UNIQUE_ID_BYTES = 128;

/** `ncclUniqueId`, which NCCL takes by value: 128 bytes. */
const UNIQUE_ID = {
  struct: [
    ...["u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64"] as const,
    ...["u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64"] as const,
  ],
} as const;

/** The functions that Lockstep calls. */
export const NCCL_SYMBOLS = {
  ncclGetVersion: { parameters: [B /* version */], result: "i32" },
  ncclGetUniqueId: { parameters: [B /* uniqueId */], result: "i32" },
  ncclGetErrorString: { parameters: ["i32" /* result */], result: "pointer" },
  ncclGetLastError: { parameters: [COMM /* comm */], result: "pointer" },
  ncclCommInitRankConfig: {
    parameters: [B, /* comm */ "i32", /* nranks */ UNIQUE_ID, "i32", /* rank */ B /* config */],
    result: "i32",
  },
  ncclCommGetAsyncError: { parameters: [COMM, /* comm */ B /* asyncError */], result: "i32" },
  ncclCommFinalize: { parameters: [COMM /* comm */], result: "i32" },
  ncclCommDestroy: { parameters: [COMM /* comm */], result: "i32", nonblocking: true },
  // Waits for kernels that another thread may be waiting for, too.
  ncclCommAbort: { parameters: [COMM /* comm */], result: "i32", nonblocking: true },
  ncclRedOpCreatePreMulSum: {
    parameters: [B, /* op */ B, /* scalar */ "i32", /* datatype */ "i32", /* residence */ COMM],
    result: "i32",
  },
  ncclRedOpDestroy: { parameters: ["i32", /* op */ COMM /* comm */], result: "i32" },
  ncclGroupStart: { parameters: [], result: "i32" },
  ncclGroupEnd: { parameters: [], result: "i32" },
  ncclAllReduce: {
    parameters: [
      "u64", /* sendbuff */
      "u64", /* recvbuff */
      "usize", /* count */
      "i32", /* datatype */
      "i32", /* op */
      COMM, /* comm */
      "u64", /* stream */
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** NCCL's functions. */
export type NcclSymbols = Deno.DynamicLibrary<typeof NCCL_SYMBOLS>["symbols"];

/** `ncclDataType_t`: float32. */
export const NCCL_FLOAT32 = 7;
/** `ncclRedOp_t`: the sum. */
export const NCCL_SUM = 0;
/** `ncclScalarResidence_t`: a factor that is read during the call. */
export const NCCL_SCALAR_OF_HOST = 1;

/** The least version whose functions these are, as `NCCL_VERSION_CODE`. */
export const MIN_NCCL_VERSION = 21_400;

const CONFIG_BYTES = 24;
const CONFIG_MAGIC = 0xcafebeef;

/** `ncclConfig_t` of a non-blocking communicator, as long as it was in 2.14: newer releases fill in the rest. */
export function nonBlockingConfig(): Uint8Array<ArrayBuffer> {
  const config = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(config.buffer);
  view.setBigUint64(0, BigInt(CONFIG_BYTES), true); // size
  view.setUint32(8, CONFIG_MAGIC, true); // magic
  view.setUint32(12, MIN_NCCL_VERSION, true); // version
  view.setInt32(16, 0, true); // blocking
  return config;
}
