/**
 * The NATS subjects of a run: all of them begin with `lockstep.<runId>.`, so two runs on one server never
 * hear each other.
 *
 * @module
 */
import { randomUUID } from "node:crypto";

/** The identity of a run: its subjects' name, and the secret that every message carries. */
export interface RunIdentity {
  /** 1 to 80 letters, digits, `-` and `_`; unique per run, also between runs of one name. */
  readonly runId: string;
  /** Secret of the run; messages without it are refused and counted. */
  readonly token: string;
}

/** A fresh identity: the id starts with a readable `name`, and ends in random digits. */
export function makeRunIdentity(name: string): RunIdentity {
  const readable = name.replaceAll(/[^\w-]/g, "_").slice(0, 40);
  return {
    runId: `${readable}-${randomUUID().slice(0, 8)}`,
    token: randomUUID().replaceAll("-", ""),
  };
}

/** Subjects of a process. */
export interface SubjectLists {
  readonly listening: readonly string[];
  readonly speaking: readonly string[];
}

/** Builds the subjects of one run. */
export class Subjects {
  readonly runId: string;
  readonly #prefix: string;

  /** @throws {TypeError} When the id doesn't consist of 1 to 80 letters, digits, `-` and `_` */
  constructor(runId: string) {
    if (!/^[\w-]{1,80}$/.test(runId)) {
      throw new TypeError(`A run's id has 1 to 80 letters, digits, '-' and '_': ${runId}`);
    }
    this.runId = runId;
    this.#prefix = `lockstep.${runId}`;
  }

  /** Returns the subjects to which a coordinator listens and publishes. */
  ofCoordinator(): SubjectLists {
    return {
      listening: [
        this.join,
        this.reply,
        this.workerHeartbeat("*"),
        this.gradient("*"),
        this.values("*"),
        this.missing("coordinator"),
        this.pull("coordinator"),
        this.piece("coordinator"),
      ],
      speaking: [this.coordinatorHeartbeat, this.command, this.reduced, this.sums],
    };
  }

  /**
   * Returns the subjects to which a worker listens and publishes. These lists contain each subject by which
   * the coordinator and the worker reach each other.
   */
  ofWorker(instance: string, rank: number): SubjectLists {
    return {
      listening: [
        this.welcome(instance),
        this.coordinatorHeartbeat,
        this.command,
        this.reduced,
        this.sums,
        this.missing(rank),
        this.pull(instance),
        this.piece(instance),
      ],
      speaking: [
        this.join,
        this.reply,
        this.workerHeartbeat(rank),
        this.gradient(rank),
        this.values(rank),
        ...[this.missing("coordinator"), this.missing(rank), this.welcome(instance)],
        ...["coordinator", instance].flatMap((name) => [this.pull(name), this.piece(name)]),
      ],
    };
  }

  /** Workers ask to join. */
  get join(): string {
    return `${this.#prefix}.join`;
  }
  /** The answer to one worker's wish to join. */
  welcome(instance: string): string {
    return `${this.#prefix}.welcome.${instance}`;
  }
  /** Heartbeats of the coordinator. */
  get coordinatorHeartbeat(): string {
    return `${this.#prefix}.heartbeat.coordinator`;
  }
  /** Heartbeats of a worker, or of all of them with `*`. */
  workerHeartbeat(rank: number | "*"): string {
    return `${this.#prefix}.heartbeat.worker.${rank}`;
  }
  /** Commands of the coordinator to all workers. */
  get command(): string {
    return `${this.#prefix}.command`;
  }
  /** Replies of the workers to commands. */
  get reply(): string {
    return `${this.#prefix}.reply`;
  }
  /** A rank's contribution to a step, then its gradients in chunks; or all ranks' with `*`. */
  gradient(rank: number | "*"): string {
    return `${this.#prefix}.gradient.${rank}`;
  }
  /** The reduced chunks, then the step's result, to all ranks. */
  get reduced(): string {
    return `${this.#prefix}.reduced`;
  }
  /** A rank's small vectors in the midst of a step; or all ranks' with `*`. */
  values(rank: number | "*"): string {
    return `${this.#prefix}.values.${rank}`;
  }
  /** The sums of small vectors, to all ranks. */
  get sums(): string {
    return `${this.#prefix}.sums`;
  }
  /** Requests to send chunks again, to a rank or to the coordinator. */
  missing(to: number | "coordinator"): string {
    return `${this.#prefix}.missing.${to}`;
  }
  /** Requests for a piece of a large transfer, to the process that offers it. */
  pull(owner: string): string {
    return `${this.#prefix}.pull.${owner}`;
  }
  /** Pieces of large transfers, to the process that asked. */
  piece(to: string): string {
    return `${this.#prefix}.piece.${to}`;
  }
}
