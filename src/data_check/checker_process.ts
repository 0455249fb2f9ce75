/**
 * A checker, seen from the process that asks it.
 *
 * @module
 */
import { LockstepError, UsageError } from "../base/errors.ts";
import { type OwnProgram, programCommand } from "../base/programs.ts";
import { type CheckAnswer, type CheckRequest, IMAGE_MARK } from "./checker.ts";

/** The process has ended; the image that it was asked about may be the reason. */
export class CheckerLostError extends LockstepError {
  /** For messages. */
  override name = "CheckerLostError";
}

const CHECKER: OwnProgram = {
  entry: "workers/image_checker.ts",
  permissions: "image-checker",
};

/** Warnings of libjpeg about wrong pixels; its other warnings are harmless. */
const DAMAGE = /^(Corrupt JPEG data|Premature end of JPEG|Inconsistent progression)/;
/** Longest text that is kept about an image. */
const MAX_SAID = 300;

/** One process. */
export class CheckerProcess implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #answers: AsyncGenerator<string>;
  readonly #said: Promise<Map<number, string>>;

  private constructor() {
    this.#process = programCommand(CHECKER, {
      env: { NO_COLOR: "1", OMP_NUM_THREADS: "1", TF_NUM_INTRAOP_THREADS: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#process.stdin.getWriter();
    this.#answers = linesOf(this.#process.stdout);
    this.#said = saidByImage(this.#process.stderr);
  }

  /**
   * Starts a process and waits until it can work.
   *
   * @throws {UsageError} when it can't, such as without libtensorflow
   */
  static async start(): Promise<CheckerProcess> {
    const checker = new CheckerProcess();
    try {
      const answer = await checker.#next();
      if (answer.kind === "ready") return checker;
      const { message, known } = answer as Extract<CheckAnswer, { kind: "failed" }>;
      throw known ? new UsageError(message) : new LockstepError(message);
    } catch (error) {
      const said = (await checker.end()).get(NOTHING);
      if (error instanceof CheckerLostError && said) {
        throw new LockstepError(`The process that decodes images doesn't start: ${said}`);
      }
      throw error;
    }
  }

  /** @throws {CheckerLostError} when the process ends before it has answered */
  async ask(request: CheckRequest): Promise<CheckAnswer> {
    const line = new TextEncoder().encode(JSON.stringify(request) + "\n");
    await this.#stdin.write(line).catch(() => {}); // its end is noticed by the missing answer
    return await this.#next();
  }

  /** Ends the process; gives what libjpeg printed of damage, by the images' indices. */
  async end(): Promise<Map<number, string>> {
    await this.#stdin.close().catch(() => {}); // it has ended already
    await this.#process.status;
    return await this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: it has ended
    }
    await this.end();
  }

  async #next(): Promise<CheckAnswer> {
    const { value, done } = await this.#answers.next();
    if (!done) return JSON.parse(value);
    const { code, signal } = await this.#process.status;
    throw new CheckerLostError(
      `The process that decodes images ended ${signal ? `by ${signal}` : `with exit code ${code}`}`,
    );
  }
}

/** Index of what is printed before the first image. */
const NOTHING = -1;

async function saidByImage(stream: ReadableStream<Uint8Array>): Promise<Map<number, string>> {
  const said = new Map<number, string>();
  let index = NOTHING;
  for await (const line of linesOf(stream)) {
    const text = line.trim();
    if (text.startsWith(IMAGE_MARK)) {
      index = Number(text.slice(IMAGE_MARK.length));
    } else if (index === NOTHING ? text !== "" : DAMAGE.test(text)) {
      const before = said.get(index);
      said.set(index, (before ? `${before}; ${text}` : text).slice(0, MAX_SAID));
    }
  }
  return said;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}
