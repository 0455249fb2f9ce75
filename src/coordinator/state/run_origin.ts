/**
 * The start of a run: a new folder, or the folder and the checkpoint of a resumed run.
 *
 * @module
 */
import { UsageError } from "../../base/errors.ts";
import { pathOption } from "../../base/file_path.ts";
import { lockFolder } from "../../base/folder_lock.ts";
import { removeTemporaries } from "../../base/paths.ts";
import { followPointers } from "../../base/pointer.ts";
import type { Config } from "../../config/schema.ts";
import type { FileChanges } from "../../data/datasets/file_record.ts";
import type { Reporter } from "../../events/reporter.ts";
import { createRunFolder, ensureRunFolder } from "../../records/run_folder.ts";
import type { PreparedRun } from "../preparation/prepare.ts";
import { checkResumedConfig, type ResumedConfig } from "./resumed_config.ts";
import { checkResumedData } from "./resumed_data.ts";
import { resumePoint } from "./resume_point.ts";
import { checkpointPath, resume, type Resumed } from "./run_state.ts";

/** A request to begin or to resume a run. */
export interface OriginOptions {
  readonly resume?: string | undefined;
  readonly from?: string | undefined;
  readonly overridden?: readonly string[];
  readonly acceptData?: boolean;
  readonly folder?: string;
}

/** The checkpoint that a run resumes from, as far as it is known before the preparation. */
export interface Continuation {
  readonly folder: string;
  /** Name of the checkpoint. */
  readonly from: string;
  readonly changed: ResumedConfig;
}

/** The state of a resumed run. */
export interface RestoredRun extends Continuation {
  readonly resumed: Resumed;
  /** Differences of the images; `undefined` for a run without a record of its files. */
  readonly images: FileChanges | undefined;
}

/** The folder of a run, locked until it is disposed of. */
export class RunOrigin implements Disposable {
  readonly #options: OriginOptions;
  readonly #locks = new DisposableStack();
  readonly #reporter: Pick<Reporter, "warn">;
  /** The folder that the user named, of a new run or of a run to resume. */
  readonly named: string | undefined;
  /** `undefined` for a new run. */
  readonly continuation: Continuation | undefined;

  private constructor(
    options: OriginOptions,
    reporter: Pick<Reporter, "warn">,
    locks: DisposableStack,
    parts: { named: string | undefined; continuation: Continuation | undefined },
  ) {
    this.#options = options;
    this.#reporter = reporter;
    this.#locks = locks;
    this.named = parts.named;
    this.continuation = parts.continuation;
  }

  /**
   * Finds the origin of a run; locks the folder of a run to resume.
   *
   * @throws {UsageError} when the run can't be resumed
   */
  static async find(
    config: Config,
    options: OriginOptions,
    reporter: Pick<Reporter, "warn">,
  ): Promise<RunOrigin> {
    using locks = new DisposableStack();
    const going = options.resume === undefined
      ? undefined
      : await followPointers(pathOption("resume", options.resume));
    if (going !== undefined) {
      locks.use(await lockRun(going, reporter));
      await removeTemporaries(going);
    }
    const from = await resumePointOf(going, options.from);
    const continuation = from === undefined ? undefined : {
      folder: going!,
      from,
      changed: await checkResumedConfig(checkpointPath(going!, from), config, options.overridden),
    };
    const named = going ??
      (options.folder === undefined ? undefined : pathOption("folder", options.folder));
    return new RunOrigin(options, reporter, locks.move(), { named, continuation });
  }

  /** Tells whether the run to resume ended before its first checkpoint. */
  get startsOver(): boolean {
    return this.#options.resume !== undefined && this.continuation === undefined;
  }

  /**
   * Returns the folder of a resumed run that began only because all of its images could be used, within limits not
   * wider than now.
   */
  usableIn({ data: { maxPixels } }: Config): string | undefined {
    const data = this.continuation?.changed.before?.data;
    const were = data?.onError === "fail" && data.maxPixels <= maxPixels;
    return were ? this.continuation?.folder : undefined;
  }

  /** Loads the state of a resumed run; returns `undefined` for a new run. */
  async restore(run: PreparedRun): Promise<RestoredRun | undefined> {
    if (!this.continuation) return undefined;
    const { folder, from } = this.continuation;
    const { acceptData } = this.#options;
    const images = await checkResumedData(
      folder,
      run.dataset,
      acceptData,
      run.config.data.fileHashes,
    );
    return {
      ...this.continuation,
      images,
      resumed: await resume(folder, run, from, { acceptData }),
    };
  }

  /** Makes the run's folder if it is missing, and locks it. */
  async openFolder({ out, name }: Pick<Config, "out" | "name">): Promise<string> {
    const folder = this.named === undefined
      ? await createRunFolder(out, name)
      : await ensureRunFolder(this.named);
    if (this.#options.resume === undefined) this.#locks.use(await lockRun(folder, this.#reporter));
    return folder;
  }

  [Symbol.dispose](): void {
    this.#locks.dispose();
  }
}

/** Locks a run's folder against other processes. */
async function lockRun(folder: string, reporter: Pick<Reporter, "warn">): Promise<Disposable> {
  return await lockFolder(folder, {
    what: "Run",
    cure: "stop it with Ctrl-C",
    onWarning: (message) => reporter.warn(message),
  });
}

/** Finds the point where a run is to resume; returns `undefined` for a new run. */
async function resumePointOf(
  resume: string | undefined,
  from: string | undefined,
): Promise<string | undefined> {
  if (resume !== undefined) return await resumePoint(resume, from);
  if (from === undefined) return undefined;
  throw new UsageError(`from is "${from}", a checkpoint of a run to resume: name the run, too`);
}
