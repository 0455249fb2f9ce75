/**
 * Features that a worker keeps of the images it has seen, where the network's body is frozen.
 *
 * @module
 */

/** Counts and bytes of the features that one or several workers keep. */
export interface KeptFeatures {
  /** Training images. */
  readonly train: number;
  /** Validation images. */
  readonly val: number;
  readonly bytes: number;
}

/** Memory that several caches share. */
export class MemoryBudget {
  /** Bytes in use. */
  used = 0;

  /** @param limit Bytes */
  constructor(readonly limit: number) {}

  /** Takes so many bytes, where there is room for them. */
  take(bytes: number): boolean {
    if (this.used + bytes > this.limit) return false;
    this.used += bytes;
    return true;
  }
}

/**
 * Features by position in a list of samples. Nothing is given up for something newer: in a shuffled epoch each
 * sample comes once, so that the oldest are as likely to be needed as any.
 */
export class FeatureCache {
  readonly #rows = new Map<number, Float32Array>();
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** Samples that are kept. */
  get size(): number {
    return this.#rows.size;
  }

  has(index: number): boolean {
    return this.#rows.has(index);
  }

  get(index: number): Float32Array | undefined {
    return this.#rows.get(index);
  }

  /** Keeps a copy of a sample's features, unless there is no room left. */
  keep(index: number, features: Float32Array): void {
    if (!this.#rows.has(index) && this.#budget.take(features.byteLength)) {
      this.#rows.set(index, features.slice());
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const row of this.#rows.values()) this.#budget.used -= row.byteLength;
    this.#rows.clear();
  }
}

/** The caches of a worker's two lists of samples. */
export class FeatureCaches {
  readonly train: FeatureCache;
  readonly val: FeatureCache;
  readonly #budget: MemoryBudget;

  /** @param limit Bytes for both */
  constructor(limit: number) {
    this.#budget = new MemoryBudget(limit);
    this.train = new FeatureCache(this.#budget);
    this.val = new FeatureCache(this.#budget);
  }

  get kept(): KeptFeatures {
    return { train: this.train.size, val: this.val.size, bytes: this.#budget.used };
  }

  clear(): void {
    this.train.clear();
    this.val.clear();
  }
}
