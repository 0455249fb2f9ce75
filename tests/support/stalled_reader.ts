/**
 * Commands whose output nobody reads: full pipes, and terminals stopped as by Ctrl-S.
 *
 * @module
 */
import { startProcess, type TrainProcess } from "./tiny_run.ts";

/**
 * Runs a command whose streams named by the first argument go to a pipe that is full, or to a terminal that is
 * stopped. `r` on standard input begins to read; the rest of the output is copied. The exit code is the command's.
 */
const PYTHON = `
import fcntl, os, select, subprocess, sys, termios
streams, kind = sys.argv[1].split(",")
command = sys.argv[2:]
if kind == "terminal":
    reader, writer = os.openpty()
    termios.tcflow(writer, termios.TCOOFF)
else:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)
    os.write(writer, b"." * 4096)
end = {name: writer if name in streams else None for name in ("stdout", "stderr")}
child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **end)
print(f"command {child.pid}", flush=True)
while child.poll() is None:
    if select.select([0], [], [], 0.05)[0] and os.read(0, 1) == b"r":
        break
if child.poll() is None:
    if kind == "terminal":
        termios.tcflow(writer, termios.TCOON)
    os.close(writer)
    while True:
        try:
            data = os.read(reader, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
code = child.wait()
sys.exit(code if code >= 0 else 128 - code)
`;

/** The streams that nobody reads, and their kind. */
export type Stall = "stdout,pipe" | "stderr,pipe" | "stdout+stderr,pipe" | "stdout+stderr,terminal";

/** Starts a command whose output nobody reads until `read()` is called. */
export function startUnread(
  stall: Stall,
  command: readonly string[],
  cwd: string,
): TrainProcess & { read(): Promise<void> } {
  const session = startProcess(["python3", "-c", PYTHON, stall, ...command], {
    cwd,
    stdin: "piped",
  });
  return { ...session, read: () => session.send("r") };
}
