/**
 * A command in a terminal of its own, for tests of Ctrl-C and of terminals that are closed.
 *
 * @module
 */
import { startProcess, type TrainProcess } from "./tiny_run.ts";

/**
 * Runs a command in a pseudo-terminal and copies what it prints. `c` on standard input presses Ctrl-C, `x` closes the
 * terminal. The exit code is the command's.
 */
const PYTHON = `
import os, pty, select, sys
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
print(f"terminal of {pid}", flush=True)
sources = [0, master]
while master in sources:
    for ready in select.select(sources, [], [])[0]:
        try:
            data = os.read(ready, 65536)
        except OSError:
            data = b""
        if not data:
            sources.remove(ready)
        elif ready == master:
            os.write(1, data)
        elif data == b"c":
            os.write(master, b"\\x03")
        elif data == b"x":
            os.close(master)
            sources.remove(master)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** A key that a person may press in the terminal. */
export type Press = "c" | "x";

/** Starts a command in a terminal; needs python3, as the set-up does. */
export function startInTerminal(
  command: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): TrainProcess & { press(key: Press): Promise<void> } {
  const session = startProcess(["python3", "-c", PYTHON, ...command], {
    cwd,
    env: { TERM: "xterm", ...env },
    stdin: "piped",
  });
  return { ...session, press: (key) => session.send(key) };
}
