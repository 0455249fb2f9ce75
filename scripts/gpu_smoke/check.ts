/**
 * The interface of a check of the GPU smoke test.
 *
 * A check is one file of `scripts/gpu_smoke/checks/` that exports a {@linkcode SmokeCheck}, and one line in
 * `scripts/gpu_smoke/checks.ts`. Each check runs in a process of its own.
 *
 * @module
 */

/** The kind of device that is checked: `cpu` compares the CPU with the CPU, a dry run of the comparisons. */
export type SmokeDevice = "gpu" | "cpu";

/** A GPU as the smoke test found it. */
export interface SmokeGpu {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
}

/** The facts that a check is given. */
export interface CheckContext {
  readonly device: SmokeDevice;
  /** The libtensorflow to open. */
  readonly libraryPath: string;
  /** The visible GPUs; none for `cpu`. */
  readonly gpus: readonly SmokeGpu[];
  /** `short` takes the smallest networks and images: it shows that the check works, not the device. */
  readonly size: "full" | "short";
  /** Folder of this smoke test, for files of the checks. */
  readonly folder: string;
  /** The Python that may have PyTorch. */
  readonly python: string;
}

/** The result of a check. */
export interface Outcome {
  /** `skip` when the check can't be made here, for the reason in `figure`. */
  readonly status: "pass" | "fail" | "skip";
  /** The measured value, or the reason, in a line. */
  readonly figure: string;
  /** Everything else that was measured, as JSON. */
  readonly details?: unknown;
}

/** A check. */
export interface SmokeCheck {
  readonly name: string;
  /** Completes "Checks …". */
  readonly title: string;
  /** Seconds after which the check is ended and has failed. */
  readonly limitSeconds: number;
  /** The GPUs that CUDA shows to the check: none, the first or all. */
  readonly cards: "none" | "first" | "all";
  /** True when the check has nothing to compare without a GPU: a dry run leaves it out. */
  readonly needsGpu: boolean;
  /**
   * True when float32 products are computed with all bits. Otherwise the libraries' default holds, which is
   * TensorFloat-32 where the card has it.
   */
  readonly isExact?: boolean;
  /** Makes the check; an error is a failure, with the error's message. */
  readonly run: (context: CheckContext) => Promise<Outcome>;
  /**
   * Computes the reference on the CPU, in a process of its own that sees no GPU. Its tensors are given by
   * `reference()` of `reference.ts`.
   */
  readonly reference?: (context: CheckContext) => Promise<ReadonlyMap<string, Float32Array>>;
}
