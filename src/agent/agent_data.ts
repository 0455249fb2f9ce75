/**
 * The images of a run on the host of an agent: compared with the coordinator's, or fetched from it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { LockstepError } from "../base/errors.ts";
import { decidedConfigSchema } from "../config/schema.ts";
import { fileSourceSchema } from "../data/hosts/file_source.ts";
import { unpackManifest } from "../data/hosts/manifest.ts";
import { provideData, type ProvidedData } from "../data/hosts/provide_data.ts";
import type { Json } from "../protocol/large_json.ts";
import type { Progress } from "../provision/progress.ts";
import { type CacheFolder, openCacheFolder } from "../train/cache_folder.ts";
import type { Job } from "../train/job.ts";
import { checkHostModules, moduleFileHashesSchema } from "../train/host_modules.ts";

/** The circumstances of a host's images. */
export interface AgentDataOptions {
  /** This host at the beginning of a sentence. */
  readonly hostName: string;
  /** The host's own folder, where it is given. */
  readonly folder: string | undefined;
  readonly progress: Progress;
  readonly onInfo: (message: string) => void;
  readonly onWarning: (message: string) => void;
}

/** The images of a run, which stay until this is disposed of. */
export class AgentData implements Disposable {
  readonly #options: AgentDataOptions;
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  #provided: ProvidedData | undefined;
  #kept: CacheFolder | undefined;

  constructor(options: AgentDataOptions) {
    this.#options = options;
  }

  /** The parts of the job that are others here, once the images are prepared. */
  get jobHere(): Pick<Job, "root" | "samples" | "cacheFolder"> | undefined {
    const provided = this.#provided, kept = this.#kept;
    if (!provided) return undefined;
    return { ...provided.jobHere, ...(kept ? { cacheFolder: kept.place } : {}) };
  }

  /** The folder into which workers may write, if there is one. */
  get writableFolder(): string | undefined {
    return this.#kept?.place.folder;
  }

  /** Takes a part of the packed manifest; the first one begins at 0. */
  addPart(begin: number, part: string): void {
    if (begin === 0) {
      this.#parts.length = 0;
      this.#bytes = 0;
    }
    if (begin !== this.#bytes) throw new LockstepError("A part of the manifest is missing");
    const bytes = Buffer.from(part, "base64");
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
  }

  /**
   * Finds the images, and compares or fetches them.
   *
   * @param config As the coordinator has decided it
   * @param source The coordinator's file server, where images are fetched
   * @throws {UsageError} when images or modules differ
   */
  async prepare(
    { config: json, modules, source }: { config: Json; modules: Json; source: Json },
  ): Promise<void> {
    const { hostName, folder, progress, onInfo, onWarning } = this.#options;
    const config = decidedConfigSchema.parse(json);
    const manifest = await unpackManifest(Buffer.concat(this.#parts));
    this.#parts.length = 0;
    const { hostname: coordinator } = manifest;
    await checkHostModules(config, moduleFileHashesSchema.parse(modules), {
      hostName,
      coordinator,
    });
    this[Symbol.dispose]();
    const provided = await provideData(manifest, {
      ...{ data: config.data, folder, hostName, progress },
      ...(source === null ? {} : { source: fileSourceSchema.parse(source) }),
    });
    this.#provided = provided;
    onInfo(provided.note);
    if (manifest.kind !== "images") return;
    const { root } = provided.jobHere;
    const images = { ofFiles: { maxPixels: config.data.maxPixels } };
    this.#kept = await openCacheFolder(config, { root, source: images }, { warn: onWarning });
  }

  [Symbol.dispose](): void {
    if (this.#kept) this.#options.onInfo(this.#kept.report());
    this.#kept?.[Symbol.dispose]();
    this.#provided?.[Symbol.dispose]();
    this.#kept = this.#provided = undefined;
  }
}
