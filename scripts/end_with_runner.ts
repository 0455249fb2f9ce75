/**
 * Ends whatever a test runner has started once the runner is gone, however it ended: also by SIGKILL.
 *
 * The runner's environment carries a mark of its own, which all that it starts inherits. A shell of its own session
 * looks every second whether the runner still runs; when it doesn't, the shell kills the processes that carry the mark.
 * It finds them in `/proc`, so this works on Linux alone; elsewhere nothing happens.
 *
 * @module
 */

/** The environment's variable that holds the mark. */
export const MARK_VARIABLE = "LOCKSTEP_TEST_RUN";

/** Waits for the first of some processes to end ($1: their pids), then kills what carries the mark ($2). */
const WATCH = `
ended() { case "$(ps -o stat= -p "$1")" in ""|Z*) true;; *) false;; esac; }
while :; do
  for pid in $1; do if ended "$pid"; then break 2; fi; done
  sleep 1
done
for round in 1 2 3 4 5; do
  left=$(grep -lsxzF "$2" /proc/[0-9]*/environ | cut -d / -f 3)
  [ -n "$left" ] || exit 0
  kill -9 $left 2>/dev/null
  sleep 0.2
done
`;

/** A mark that no other runner has. */
export function makeMark(): string {
  return crypto.randomUUID();
}

/**
 * Watches a test runner, without a resource that stays open in this process.
 *
 * @param pids The runner's processes: when one has ended, all that carries the mark ends, those of them too
 * @param mark Value of {@linkcode MARK_VARIABLE} in the environment of the runner
 */
export function watchRunner(pids: readonly number[], mark: string): void {
  if (Deno.build.os !== "linux") return;
  const script = 'setsid sh -c "$0" sh "$1" "$2" </dev/null >/dev/null 2>&1 &';
  new Deno.Command("env", {
    args: [
      ...["-u", MARK_VARIABLE, "sh", "-c", script],
      ...[WATCH, pids.join(" "), `${MARK_VARIABLE}=${mark}`],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
}
