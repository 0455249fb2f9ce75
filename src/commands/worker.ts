/**
 * `deno task worker`: brings this host's GPUs or cores into a run of another one.
 *
 * @module
 */
import { say } from "../terminal/terminal_stream.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG, VERBOSE_FLAG } from "./flags.ts";
import { interruptible } from "./interruptible.ts";

/** `deno task worker`. */
export const COMMAND: TaskCommand = {
  name: "worker",
  title: "Bring this host's GPUs or cores into a run that another host coordinates",
  summary:
    "Bring this host's GPUs or cores into a run that another host coordinates, until the run is over.\n" +
    "The coordinator, deno task train --hosts 2 --listen 0.0.0.0:4222, prints the line to paste here.\n" +
    "Environment variables say the same: LOCKSTEP_JOIN, LOCKSTEP_TOKEN_FILE, LOCKSTEP_ADDRESS,\n" +
    "LOCKSTEP_DATA, and LOCKSTEP_HOST_INDEX, the number of this host from 1. In a job of Slurm none is\n" +
    "needed: srun --ntasks-per-node=1 deno task worker joins the coordinator of the job's first node.",
  permissions: "agent",
  flags: [
    {
      name: "join",
      value: "URL",
      also: ["connect", "server", "rdzv-endpoint", "master-addr"],
      help: "The coordinator's server with its fingerprint, as the coordinator prints it",
    },
    {
      name: "token-file",
      value: "FILE",
      also: ["token"],
      help: "A copy of the coordinator's token (default: join-token in the cache folder)",
    },
    {
      name: "ca",
      value: "FILE",
      help: "Authority of a server at tls://, where this machine doesn't know it",
    },
    {
      name: "address",
      value: "ADDR",
      also: ["host", "interface", "ip"],
      help:
        "Name, address, network (10.0.0.0/8) or interface (eth0) by which other hosts reach this one",
    },
    {
      name: "data",
      value: "DIR",
      also: ["data-dir", "data-path", "root"],
      help: "This host's copy of the images (default: the same path as on the coordinator's host)",
    },
    VERBOSE_FLAG,
    HELP_FLAG,
  ],
  examples: [
    "deno task worker --join nats://10.0.0.1:4222#FINGERPRINT --token-file token",
    "LOCKSTEP_JOIN=nats://gpu01:4222 deno task worker --token-file token --address ib0",
    "srun --ntasks-per-node=1 deno task worker --data /local/photos",
  ],
  run,
};

async function run(flags: Flags): Promise<number> {
  const { readJoinSettings } = await import("../hosts/join_settings.ts");
  const { isOwnAddress, localAddresses } = await import("../hosts/local_addresses.ts");
  const local = localAddresses();
  const settings = readJoinSettings(
    {
      join: flags.text("join"),
      tokenFile: flags.text("token-file"),
      ca: flags.text("ca"),
      address: flags.text("address"),
      data: flags.text("data"),
    },
    (name) => Deno.env.get(name),
    (host) => isOwnAddress(host, local),
  );
  if ("idle" in settings) {
    say(settings.idle);
    return 0;
  }
  const { startAgent } = await import("../agent/start_agent.ts");
  const { progressUntil } = await import("../provision/progress.ts");
  const { terminalReporter } = await import("../terminal/terminal_reporter.ts");
  const reporter = terminalReporter({ verbose: flags.on("verbose") });
  using signals = interruptible(() =>
    reporter.warn("Leaving the run, whose other hosts go on; again to stop at once")
  );
  const { signal } = signals;
  try {
    await startAgent(settings, {
      progress: progressUntil(signal, (event) => reporter.download(event)),
      onInfo: (line) => reporter.info(line),
      onWarning: (line) => reporter.warn(line),
      signal,
    });
    reporter.info("The run is over");
    return 0;
  } finally {
    reporter.close();
  }
}
