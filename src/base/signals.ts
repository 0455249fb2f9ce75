/**
 * The signals that ask a program to stop: SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed).
 *
 * Launchers send them more than once: a terminal delivers Ctrl-C to every process of the group, and `deno task`
 * forwards it to its child as well; `timeout` signals its child and then the group. Signals that come within a
 * second of the first one are therefore the same request.
 *
 * @module
 */
import { exitCodeOf, type StopSignal } from "./errors.ts";

const STOP_SIGNALS: readonly StopSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Milliseconds after the first signal from which a further signal is a new request. */
const SAME_REQUEST = { rounds: 10, ms: 100 };

const SIGHUP = 1;
/** `SIG_IGN`. */
const IGNORED = 1n;
/** `F_GETFL`, and its access mode of a file that is open for writing only. */
const [GET_FLAGS, ACCESS_MODE, WRITE_ONLY] = [3, 3, 1];

/** The state of this process's signal handling; undefined until {@linkcode listenForStop} is called. */
interface Desk {
  /** The first signal received. */
  requested: StopSignal | undefined;
  /** True while a further signal belongs to the first request. */
  isSettling: boolean;
  /** Handles the first request; unless set, the request ends the process. */
  onRequest: ((signal: StopSignal) => void) | undefined;
}

let desk: Desk | undefined;
/** Handlers of SIGTERM beside the desk's. */
let terminations = 0;
const cleanups = new Set<() => void>();

/**
 * Starts listening; call it before anything heavy is imported. Until {@linkcode takeStopRequests} is called, a
 * signal ends the process at once, with the exit code of the signal. A SIGHUP that was ignored at the process's
 * start (`nohup`) stays ignored.
 */
export function listenForStop(): void {
  if (desk) return;
  desk = { requested: undefined, isSettling: false, onRequest: undefined };
  // A listener for any of the signals makes Deno take over all of them, so that this must be checked first.
  const survivesHangup = hangupIsIgnored();
  surviveFileLimit();
  for (const signal of stopSignals()) {
    const isIgnored = signal === "SIGHUP" && survivesHangup;
    Deno.addSignalListener(signal, isIgnored ? () => {} : () => onSignal(signal));
  }
}

/**
 * Hands the first request to stop to `onRequest`, and goes on; a second one, more than a second later, still ends
 * the process at once.
 */
export function takeStopRequests(onRequest: (signal: StopSignal) => void): Disposable {
  listenForStop();
  const own = desk!;
  own.onRequest = onRequest;
  return {
    [Symbol.dispose]: () => {
      if (own.onRequest === onRequest) own.onRequest = undefined;
    },
  };
}

/**
 * Hands each SIGTERM to `onRequest`: for processes that otherwise ignore the signals to their group. It has no effect on
 * Windows, which has no such signal.
 */
export function takeTermination(onRequest: () => void): void {
  if (Deno.build.os === "windows") return;
  terminations++;
  Deno.addSignalListener("SIGTERM", onRequest);
}

/** Tells whether this process takes SIGTERM as a request to stop in order. */
export function stopsInOrder(): boolean {
  if (Deno.build.os === "windows") return false;
  return terminations > 0 || desk?.onRequest !== undefined;
}

/** The signal that asked this process to stop, if one did. */
export function stopRequested(): StopSignal | undefined {
  return desk?.requested;
}

/**
 * Registers what has to be done when the process ends before it came to do so by itself, such as removing a
 * temporary folder; the latest registered runs first.
 *
 * @param cleanup Must not wait for anything
 * @returns Disposed of when there is nothing left to clean up
 */
export function cleanUpAtStop(cleanup: () => void): Disposable {
  cleanups.add(cleanup);
  return { [Symbol.dispose]: () => void cleanups.delete(cleanup) };
}

/** Registers a temporary file or folder, to be removed when the process is ended at once. */
export function removeAtStop(path: string): Disposable {
  return cleanUpAtStop(() => Deno.removeSync(path, { recursive: true }));
}

/** Registers a process that must not outlive this one when it is ended at once. */
export function endAtStop(child: Deno.ChildProcess): Disposable {
  return cleanUpAtStop(() => child.kill("SIGTERM"));
}

/**
 * Lets a write beyond the limit for files (`ulimit -f`) fail with an error that can be told, in place of the SIGXFSZ
 * that kills the process.
 */
export function surviveFileLimit(): void {
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGXFSZ", () => {});
}

/** Ignores the signals: for processes that their parent ends, by the end of their standard input. */
export function ignoreStopSignals(): void {
  for (const signal of stopSignals()) Deno.addSignalListener(signal, () => {});
}

/**
 * A command whose process ignores the signals from its first moment on, as by {@linkcode ignoreStopSignals} from
 * the moment on when it runs: a signal to the whole group must not end a worker that is just being started. SIGXFSZ is
 * ignored as well: a write beyond `ulimit -f`, such as to shared memory, is an error that can be told.
 *
 * @param program Path of the program, or its name on `PATH`
 */
export function shieldedCommand(program: string, options: Deno.CommandOptions): Deno.Command {
  if (Deno.build.os === "windows") return new Deno.Command(program, options);
  const script = `trap '' HUP INT TERM XFSZ; exec "$0" "$@"`;
  return new Deno.Command("sh", {
    ...options,
    args: ["-c", script, program, ...(options.args ?? [])],
  });
}

/** Tells whether a process was ended by a request to stop. */
export function isStopSignal(signal: string | null): signal is StopSignal {
  return (STOP_SIGNALS as readonly (string | null)[]).includes(signal);
}

/** The signals that this platform has. */
function stopSignals(): readonly StopSignal[] {
  return Deno.build.os === "windows" ? ["SIGINT"] : STOP_SIGNALS;
}

function onSignal(signal: StopSignal): void {
  const own = desk!;
  if (own.isSettling) return;
  if (own.requested || !own.onRequest) return exitCleanly(exitCodeOf(signal));
  own.requested = signal;
  own.isSettling = true;
  settle(own, SAME_REQUEST.rounds);
  own.onRequest(signal);
}

/**
 * Waits in rounds, not by the clock alone: when this thread was busy for seconds, a signal that came
 * milliseconds after the first one is delivered late, but within one round.
 */
function settle(own: Desk, rounds: number): void {
  const timer = setTimeout(() => {
    if (rounds > 1) settle(own, rounds - 1);
    else own.isSettling = false;
  }, SAME_REQUEST.ms);
  Deno.unrefTimer(timer);
}

/** Ends the process, after what {@linkcode cleanUpAtStop} still has on its list. */
export function exitCleanly(code: number): never {
  for (const cleanup of [...cleanups].reverse()) {
    try {
      cleanup();
    } catch {
      // It was gone already, or never came to be; the next ones are tried all the same.
    }
  }
  cleanups.clear();
  Deno.exit(code);
}

/**
 * Tells whether SIGHUP was ignored when this process began. The C library knows; `npx` loses it for its children, but
 * leaves them the standard input of `nohup`, which can't be read. Without FFI only the streams are left to judge
 * by: `nohup` leaves none that is a terminal.
 */
function hangupIsIgnored(): boolean {
  if (Deno.build.os === "windows") return false;
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") {
    return ![Deno.stdin, Deno.stdout, Deno.stderr].some((stream) => stream.isTerminal());
  }
  const name = Deno.build.os === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  try {
    const { symbols: libc } = Deno.dlopen(name, {
      signal: { parameters: ["i32", /* number */ "usize" /* handler */], result: "usize" },
      fcntl: { parameters: ["i32", /* fd */ "i32" /* command */], result: "i32" },
    });
    const before = libc.signal(SIGHUP, IGNORED);
    if (before === IGNORED) return true;
    libc.signal(SIGHUP, before);
    const flags = libc.fcntl(0, GET_FLAGS);
    return flags >= 0 && (flags & ACCESS_MODE) === WRITE_ONLY;
  } catch {
    return false; // another C library: SIGHUP stops in order
  }
}
