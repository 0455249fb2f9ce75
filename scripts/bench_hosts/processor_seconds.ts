/**
 * Processor time of everything on a host, which has a process namespace of its own.
 *
 * @module
 */

/** Ticks of a second in `/proc/PID/stat`. */
const TICKS = 100;
/** Positions of user and system time behind the name of the program, which may have spaces. */
const [USER, SYSTEM] = [11, 12];

/** Seconds of processor time. */
export interface ProcessorSeconds {
  /** Of the nats-server. */
  readonly server: number;
  /** Of all processes. */
  readonly all: number;
}

/** Returns the seconds that the living processes of this namespace have had. */
export async function processorSeconds(): Promise<ProcessorSeconds> {
  const args = ["-c", "cat /proc/[0-9]*/stat 2>/dev/null"];
  const { stdout } = await new Deno.Command("sh", { args }).output();
  let server = 0, all = 0;
  for (const line of new TextDecoder().decode(stdout).trim().split("\n")) {
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ").map(Number);
    const seconds = (fields[USER]! + fields[SYSTEM]!) / TICKS;
    all += seconds;
    if (line.includes("(nats-server)")) server += seconds;
  }
  return { server, all };
}
