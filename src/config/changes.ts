/**
 * The differences between a config and the one that a run was trained with, and those that are allowed.
 *
 * @module
 */
import { UsageError } from "../base/errors.ts";
import { counted } from "../base/format.ts";
import { shellWord } from "../base/shell.ts";
import { globalBatchSize } from "./checks.ts";
import { runName, UNNAMED } from "./run_name.ts";
import { type Config, configSchema, withWorkers } from "./schema.ts";

/** A key whose value differs. */
export interface ConfigChange {
  /** Dotted, such as `train.lr`. */
  readonly key: string;
  /** Value of the run so far; `null` where it had none. */
  readonly before: unknown;
  /** Value from now on; `null` where it has none. */
  readonly after: unknown;
}

/**
 * Keys, or sections, that may change when a run is resumed: they say where it runs and who watches, not what comes out.
 * The data's fingerprint sees to it that a moved data set is the same.
 */
export const FREE_KEYS = [
  "device",
  "devices",
  "engine.gpuMemory",
  "engine.shareGpus",
  "out",
  "workers",
  "nats.url",
  "nats.ca",
  "nats.credentials",
  "nats.prefix",
  "nats.port",
  "nats.bucketSize",
  "nats.reconnectTimeout",
  "nats.maxRestarts",
  "nccl.bucketSize",
  "hosts",
  "dashboard",
  "liveness",
  "onWorkerLost",
  "maxRestarts",
  "loggers",
  "data.root",
  "data.dataset",
  "data.onError",
  "data.fileHashes",
  "data.cacheDir",
  "data.cacheDirBytes",
  "data.hosts",
  "data.verify",
  "data.hostCacheBytes",
  "train.onNonFinite",
  "train.maxNonFiniteSteps",
  "train.detectDivergence",
] as const;

/** Characters of a value that a message shows. */
const MAX_SHOWN = 80;

/**
 * Compares two configs, key by key.
 *
 * @param before As a checkpoint keeps it
 * @returns Changed keys in the order of the config; lists count as one value
 */
export function configChanges(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
): ConfigChange[] {
  // A key that came with a later version has its default in an older run.
  const saved = configSchema.safeParse(before).data ?? before;
  return [...differences("", asJson(saved), asJson(after))];
}

/**
 * Refuses changes that a resumed run may not have: all but {@linkcode FREE_KEYS}, more epochs, and what was overridden.
 *
 * @param overridden Keys of `--override`
 * @param where What the config was compared with, for messages
 * @throws {UsageError} naming each key with both values, and the cure
 */
export function refuseChanges(
  changes: readonly ConfigChange[],
  before: Record<string, unknown>,
  after: Config,
  { overridden = [], where }: { overridden?: readonly string[]; where: string },
): void {
  refuseOtherBatch(changes, before, after);
  const within = (key: string, section: string) => key === section || key.startsWith(`${section}.`);
  const refused = changes.filter((change) =>
    !FREE_KEYS.some((key) => within(change.key, key)) &&
    !overridden.some((key) => within(change.key, key)) &&
    !(change.key === "train.epochs" && Number(change.after) > Number(change.before)) &&
    !(change.key === "name" && isUnchosen(before) && isUnchosen(after))
  );
  if (refused.length === 0) return;
  const accept = refused.map(({ key, after }) =>
    `--override ${shellWord(`${key}=${shown(after)}`)}`
  );
  throw new UsageError(
    `The config differs from that of ${where}: ${
      refused.map(describeChange).join("; ")
    }: set it back, or accept what becomes a mixed run with ${accept.join(" ")}`,
  );
}

/** Tells whether a run has the name that it gets where none is given. */
function isUnchosen({ name, data }: Record<string, unknown> | Config): boolean {
  return name === UNNAMED || name === runName({ data });
}

/** Says what a change is, in words. */
export function describeChange({ key, before, after }: ConfigChange): string {
  return `${key} is ${shown(after)}, was ${shown(before)}`;
}

/** Steps are counted in global batches, so their size must stay. */
function refuseOtherBatch(
  changes: readonly ConfigChange[],
  before: Record<string, unknown>,
  after: Config,
): void {
  const { data } = configSchema.safeParse(before);
  if (!data || changes.length === 0) return;
  const saved = withWorkers(data);
  const [was, is] = [globalBatchSize(saved), globalBatchSize(after)];
  if (was === is) return;
  const { batchSizePerWorker } = after.train;
  if (batchSizePerWorker === undefined || saved.workers === after.workers) {
    throw new UsageError(
      `The global batch is ${is}, but the run was trained with ${was}, in which its steps are counted: set it back to ` +
        `${was}, or start a new run with its weights (--weights)`,
    );
  }
  const each = was / after.workers;
  throw new UsageError(
    `With ${
      counted(after.workers, "worker")
    } in the place of ${saved.workers}, train.batchSizePerWorker ` +
      `(${batchSizePerWorker}) makes the global batch ${is}, but the run was trained with ${was}: ` +
      `give --workers ${saved.workers}` +
      (Number.isInteger(each) ? `, or --override train.batchSizePerWorker=${each}` : ""),
  );
}

function* differences(key: string, before: unknown, after: unknown): Generator<ConfigChange> {
  if (!isTree(before) || !isTree(after)) {
    if (JSON.stringify(before) === JSON.stringify(after)) return;
    yield { key, before: before ?? null, after: after ?? null };
    return;
  }
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const own = (tree: Record<string, unknown>) => Object.hasOwn(tree, name) ? tree[name] : null;
    yield* differences(key === "" ? name : `${key}.${name}`, own(before), own(after));
  }
}

function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A tree without keys that have no value, whose keys are sorted where their order means nothing. */
function asJson(tree: unknown): unknown {
  return JSON.parse(
    JSON.stringify(tree, (_, value) => {
      if (!isTree(value)) return value;
      return Object.fromEntries(
        Object.entries(value).filter(([, each]) => each !== undefined && each !== null)
          .sort(([a], [b]) => a < b ? -1 : 1),
      );
    }),
  );
}

function shown(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length > MAX_SHOWN ? `${json.slice(0, MAX_SHOWN)}…` : json;
}
