/** Runs a command in a real pseudo-terminal, and shows what a person would have seen on its screen. */
import xterm from "@xterm/headless";

/** Copies a command's output out of a pseudo-terminal of a given size; the exit code is the command's. */
const PYTHON = `
import fcntl, os, pty, struct, sys, termios
rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
while True:
    try:
        data = os.read(master, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** The output of the terminal. */
export interface Played {
  code: number;
  raw: string;
  /** The lines of the screen and of what scrolled out of it, without empty ones at the end. */
  lines: string[];
}

/** Runs `command` in a terminal of 24 rows; needs python3, as the set-up does. */
export async function inPseudoTerminal(
  command: string[],
  { columns = 80, env = {} }: { columns?: number; env?: Record<string, string> } = {},
): Promise<Played> {
  const { code, stdout } = await new Deno.Command("python3", {
    args: ["-c", PYTHON, "24", String(columns), ...command],
    env: { TERM: "xterm-256color", NO_COLOR: "", ...env },
    stderr: "inherit",
  }).output();
  const raw = new TextDecoder().decode(stdout);
  return { code, raw, lines: await screenLines(raw, columns) };
}

/** The lines that a terminal shows after `raw` was written to it. */
export async function screenLines(raw: string, columns: number): Promise<string[]> {
  const terminal = new xterm.Terminal({
    cols: columns,
    rows: 24,
    scrollback: 1000,
    allowProposedApi: true,
  });
  await new Promise<void>((resolve) => terminal.write(raw, resolve));
  const buffer = terminal.buffer.active;
  const lines = Array.from(
    { length: buffer.length },
    (_, row) => buffer.getLine(row)!.translateToString(true),
  );
  terminal.dispose();
  while (lines.at(-1) === "") lines.pop();
  return lines;
}
