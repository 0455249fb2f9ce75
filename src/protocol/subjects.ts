/**
 * The NATS subjects of a run: all of them begin with `lockstep.<runId>.`, or with another prefix that a server's
 * permissions ask for, so two runs on one server never hear each other.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { UsageError } from "../base/errors.ts";
import { makeMessageKey } from "./authentication.ts";

/** The identity of a run: its subjects' name, and the key of its messages. */
export interface RunIdentity {
  /** 1 to 80 letters, digits, `-` and `_`; unique per run, also between runs of one name. */
  readonly runId: string;
  /** The key with which messages are authenticated (`makeMessageKey`); others are refused and counted. */
  readonly key: string;
}

/** A fresh identity: the id starts with a readable `name`, and ends in random digits. */
export function makeRunIdentity(name: string): RunIdentity {
  const readable = name.replaceAll(/[^\w-]/g, "_").slice(0, 40);
  return {
    runId: `${readable}-${randomUUID().slice(0, 8)}`,
    key: makeMessageKey(),
  };
}

/** Beginning of all subjects, unless a server is used with another one. */
export const DEFAULT_PREFIX = "lockstep";

/** Form of a prefix: names of letters, digits, `-` and `_`, with dots between them. */
export const PREFIX_PATTERN = /^(?=.{1,100}$)[\w-]+(\.[\w-]+)*$/;

/**
 * Refuses a prefix that subjects can't begin with.
 *
 * @param where The setting that gives it, for the message
 * @throws {UsageError} When it has another form
 */
export function checkPrefix(prefix: string, where: string): void {
  if (PREFIX_PATTERN.test(prefix)) return;
  throw new UsageError(`${where} is ${JSON.stringify(prefix)}: ${PREFIX_FORM}`);
}

/** The remedy for another form. */
export const PREFIX_FORM =
  "write names of letters, digits, - and _ with dots between them, such as lockstep.alice";

/** Subjects of a process. */
export interface SubjectLists {
  readonly listening: readonly string[];
  readonly speaking: readonly string[];
}

/** The options of a run's subjects. */
export interface SubjectOptions {
  readonly prefix?: string | undefined;
  readonly generation?: number | "*";
}

/** Builds the subjects of one run. Those of the exchange belong to one generation of ranks: see `cluster/recover.ts`. */
export class Subjects {
  readonly runId: string;
  readonly generation: number | "*";
  readonly #beginning: string;
  readonly #prefix: string;

  /**
   * @param options.prefix Beginning of all subjects
   * @param options.generation Of the ranks, counted from 0; all of them with `*`
   * @throws {TypeError} When the id doesn't consist of 1 to 80 letters, digits, `-` and `_`
   */
  constructor(
    runId: string,
    { prefix = DEFAULT_PREFIX, generation = 0 }: SubjectOptions = {},
  ) {
    if (!/^[\w-]{1,80}$/.test(runId)) {
      throw new TypeError(`A run's id has 1 to 80 letters, digits, '-' and '_': ${runId}`);
    }
    this.runId = runId;
    this.generation = generation;
    this.#beginning = prefix;
    this.#prefix = `${prefix}.${runId}`;
  }

  /** The subjects of the same run, in another generation of its ranks. */
  ofGeneration(generation: number): Subjects {
    return new Subjects(this.runId, { prefix: this.#beginning, generation });
  }

  /** A pattern of all subjects of the run. */
  get all(): string {
    return `${this.#prefix}.>`;
  }

  get #exchange(): string {
    return `${this.#prefix}.${this.generation}`;
  }

  /** Returns the subjects to which a coordinator listens, and those to which it publishes for one worker. */
  ofCoordinator(instance: string, rank: number): SubjectLists {
    return {
      listening: this.ofWorker("*", "*").speaking,
      speaking: this.ofWorker(instance, rank).listening,
    };
  }

  /** Returns the subjects to which a worker listens and publishes, or all workers with `*`. */
  ofWorker(instance: string, rank: number | "*"): SubjectLists {
    return {
      listening: [
        this.coordinatorHeartbeat,
        this.command,
        this.reduced,
        this.sums,
        this.noted(rank),
        this.missing(rank),
        this.welcome(instance),
        this.pull(instance),
        this.piece(instance),
      ],
      speaking: [
        this.join,
        this.reply,
        this.workerHeartbeat(rank),
        this.gradient(rank),
        this.values(rank),
        this.skipped(rank),
        this.missing("coordinator"),
        this.pull("coordinator"),
        this.piece("coordinator"),
      ],
    };
  }

  /**
   * Returns the patterns of all subjects to which workers of a run (`*` for any run) listen and publish, in any
   * generation of its ranks.
   */
  static patternsOfWorkers(runId: string): SubjectLists {
    const { listening, speaking } = new Subjects("any", { generation: "*" }).ofWorker("*", "*");
    const ofRun = (subject: string) =>
      `${DEFAULT_PREFIX}.${runId}.${subject.slice(`${DEFAULT_PREFIX}.any.`.length)}`;
    return { listening: listening.map(ofRun), speaking: speaking.map(ofRun) };
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
    return `${this.#exchange}.gradient.${rank}`;
  }
  /** The reduced chunks, then the step's result, to all ranks. */
  get reduced(): string {
    return `${this.#exchange}.reduced`;
  }
  /** A rank's small vectors in the midst of a step; or all ranks' with `*`. */
  values(rank: number | "*"): string {
    return `${this.#exchange}.values.${rank}`;
  }
  /** The sums of small vectors, to all ranks. */
  get sums(): string {
    return `${this.#exchange}.sums`;
  }
  /** Facts of a rank about a step: samples that it leaves out, and why it isn't finite; or all ranks' with `*`. */
  skipped(rank: number | "*"): string {
    return `${this.#exchange}.skipped.${rank}`;
  }
  /** Answers to those, to one rank or to all with `*`. */
  noted(rank: number | "*"): string {
    return `${this.#exchange}.noted.${rank}`;
  }
  /** Requests to send chunks again, to a rank or to the coordinator. */
  missing(to: number | "coordinator" | "*"): string {
    return `${this.#exchange}.missing.${to}`;
  }
  /** Messages of the coordinator to the agent of a host, or of any host with `*`. */
  hostCommand(host: number | "*"): string {
    return `${this.#prefix}.host.command.${host}`;
  }
  /** Messages of the agent of a host to the coordinator; or of all agents with `*`. */
  hostEvent(host: number | "*"): string {
    return `${this.#prefix}.host.event.${host}`;
  }
  /** Requests for a piece of a large transfer, to the process that offers it. */
  pull(owner: string): string {
    return `${this.#prefix}.pull.${owner}`;
  }
  /** Pieces of large transfers, to the process that asked. */
  piece(to: string): string {
    return `${this.#prefix}.piece.${to}`;
  }
  /** Parts of vectors that come from a neighbouring host to a rank of a host (`way` as in `HostWay`). */
  hostParts(host: number, rank: number, way: string): string {
    return `${this.#exchange}.peers.${host}.${rank}.${way}`;
  }
  /** Small messages to a rank of a host from those of other hosts. */
  hostNotes(host: number, rank: number): string {
    return `${this.#exchange}.peers.${host}.${rank}.notes`;
  }
  /** The shares of all hosts in a round, to the ranks of one host. */
  hostShares(host: number): string {
    return `${this.#exchange}.peers.${host}.shares`;
  }

  /** A pattern of all subjects by which the ranks of different hosts exchange, in any generation of a run's ranks. */
  static betweenHosts(runId: string): string {
    return `${DEFAULT_PREFIX}.${runId}.*.peers.>`;
  }
}
