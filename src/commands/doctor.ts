/**
 * `deno task doctor`: checks this machine, with a cure for each thing that is wrong.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { coresOfHost } from "../engine/threads.ts";
import { within } from "../base/async.ts";
import { messageOf } from "../base/errors.ts";
import { LIBTENSORFLOW_VARIABLE, libtensorflowPath } from "../base/libtensorflow_path.ts";
import { cacheFolder, exists } from "../base/paths.ts";
import type { Gpu } from "../gpus/gpu.ts";
import type { NatsAddress } from "../protocol/address.ts";
import { removeAtStop } from "../base/signals.ts";
import { LIBTENSORFLOW_VERSION, LOCKSTEP_VERSION } from "../base/versions.ts";
import { say } from "../terminal/terminal_stream.ts";
import type { TaskCommand } from "./command.ts";
import { type Flags, HELP_FLAG } from "./flags.ts";

/** `deno task doctor`. */
export const COMMAND: TaskCommand = {
  name: "doctor",
  title: "Check this machine, with a cure for each thing that is wrong",
  summary: "Check what training needs on this machine: library, devices, broker, photos, weights.",
  permissions: "train",
  flags: [
    { name: "nats", value: "URL", help: "Check this nats-server instead of starting one" },
    HELP_FLAG,
  ],
  examples: ["deno task doctor", "deno task doctor --nats nats://host:4222"],
  run,
};

/** One thing that is looked at. */
interface Check {
  readonly name: string;
  /** Says what is there; throws when something is wrong. */
  readonly run: () => Promise<string>;
  /** None where the error itself says it. */
  readonly cure?: string;
}

/** Runs `doctor` and returns the exit code: 0 when every check passed. */
async function run(flags: Flags): Promise<number> {
  say(`Lockstep ${LOCKSTEP_VERSION}, Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`);
  say(`Cache: ${cacheFolder()}`);
  let failures = await checkGpus();
  for (const check of checks(flags.text("nats"))) {
    try {
      say(`✓ ${check.name}: ${await check.run()}`);
    } catch (error) {
      failures++;
      say(`✗ ${check.name}: ${messageOf(error)}`);
      if (check.cure) say(`  cure: ${check.cure}`);
    }
  }
  say(failures === 0 ? "All is well" : `${failures} of the checks failed`);
  return failures === 0 ? 0 : 1;
}

/** Lists the GPUs; returns how many things are wrong with them. */
async function checkGpus(): Promise<number> {
  const { hasDriver } = await import("../gpus/driver.ts");
  const { listGpus } = await import("../gpus/gpu.ts");
  const { gpus, hasProgram, problem } = await listGpus();
  if (problem !== undefined || (!hasProgram && hasDriver())) {
    say(`✗ GPUs: ${problem === undefined ? "nvidia-smi is missing" : `nvidia-smi ${problem}`}`);
    say(
      "  cure: install or restart NVIDIA's driver with its tools; in a container, add the utility capability",
    );
    return 1;
  }
  if (gpus.length === 0) {
    say("✓ GPUs: none, workers compute on the CPU");
    return 0;
  }
  return await listGpuLines(gpus);
}

async function listGpuLines(gpus: readonly Gpu[]): Promise<number> {
  const { describeGpu, describeMask } = await import("../gpus/gpu_lines.ts");
  const { VISIBLE_DEVICES, visibleDevices } = await import("../gpus/visible_devices.ts");
  const { numaNodeOf } = await import("../gpus/numa.ts");
  const { runNvidiaSmi } = await import("../gpus/nvidia_smi.ts");
  const { heldGpus } = await import("../gpus/gpu_claims.ts");
  const held = await heldGpus();
  let failures = 0;
  for (const gpu of gpus) {
    const { line, problem } = describeGpu(gpu, await numaNodeOf(gpu.pciBusId), held);
    say(`${problem === undefined ? "✓" : "✗"} ${line}`);
    if (problem === undefined) continue;
    failures++;
    say(`  cure: ${problem}`);
  }
  const mask = Deno.env.get(VISIBLE_DEVICES);
  const shown = describeMask(mask, visibleDevices(gpus, mask));
  if (shown !== undefined) say(`  ${shown}`);
  const links = gpus.length > 1 ? await runNvidiaSmi(["topo", "-m"]) : undefined;
  if (links?.kind === "text" && links.text.trim() !== "") say(plainLines(links.text));
  return failures;
}

/** Returns a program's lines, indented, with blanks in the place of tabs and without colours. */
function plainLines(text: string): string {
  const lines = stripVTControlCharacters(text).trimEnd().split("\n");
  return lines.map((line) => "  " + expandTabs(line)).join("\n");
}

function expandTabs(line: string): string {
  const cells = line.split("\t");
  const last = cells.pop()!;
  const toTabStop = (length: number) => (Math.floor(length / TAB) + 1) * TAB;
  return cells.reduce((done, cell) => (done + cell).padEnd(toTabStop((done + cell).length)), "") +
    last;
}

/** Columns between tab stops. */
const TAB = 8;

function checks(nats: string | undefined): Check[] {
  const setup = 'run "deno task setup"';
  return [
    {
      name: "libtensorflow",
      run: checkEngine,
      cure:
        `${setup}, or set ${LIBTENSORFLOW_VARIABLE} to a libtensorflow ${LIBTENSORFLOW_VERSION}`,
    },
    { name: "one op on the engine", run: checkOp, cure: `mend libtensorflow first: ${setup}` },
    nats
      ? {
        name: `nats-server at ${nats}`,
        run: () => foreignServer(nats),
      }
      : {
        name: "nats-server",
        run: checkBroker,
        cure: `${setup}, or name a running server with --nats URL`,
      },
    { name: "photos of the default recipe", run: checkPhotos, cure: setup },
    { name: "weights of the default recipe", run: checkWeights, cure: setup },
    {
      name: "folder for runs",
      run: checkWritable,
      cure: "choose a folder that can be written with --out DIR",
    },
  ];
}

async function checkEngine(): Promise<string> {
  const path = libtensorflowPath();
  const { openEngineOnCpu } = await import("../engine/engine.ts");
  const { tensorflowVersion, devices } = await openEngineOnCpu();
  const names = devices.map(({ name }) => name.replace(/^.*device:/, "")).join(", ");
  return `TensorFlow ${tensorflowVersion} at ${path}; devices ${names}; ${coresOfHost()} threads`;
}

async function checkOp(): Promise<string> {
  const { openEngineOnCpu } = await import("../engine/engine.ts");
  const { tf } = await import("../engine/tf.ts");
  await openEngineOnCpu();
  const start = performance.now();
  const sum = tf.tidy(() => tf.matMul(tf.ones([64, 64]), tf.ones([64, 64])).sum().arraySync());
  if (sum !== 64 ** 3) {
    throw new Error(`a product of matrices came out as ${sum}, expected ${64 ** 3}`);
  }
  return `a product of matrices is right (${(performance.now() - start).toFixed(1)} ms)`;
}

async function checkBroker(): Promise<string> {
  const { findNatsServer, natsServerVersion } = await import("../provision/nats_server.ts");
  const { startBroker } = await import("../hosts/broker.ts");
  const executable = await findNatsServer();
  if (!executable) throw new Error("there is none on PATH and none in the cache");
  const version = await natsServerVersion(executable);
  await using broker = await startBroker({ executable });
  return `${version} at ${executable}; ${await roundTrip(broker)}`;
}

async function foreignServer(url: string): Promise<string> {
  const { serverAddress } = await import("../protocol/server_address.ts");
  const { takeCredentials } = await import("../protocol/address.ts");
  const { checkServer } = await import("../protocol/check_server.ts");
  const address = await serverAddress({ url: takeCredentials(url) });
  const { version, maxPayload } = await checkServer(address);
  return `nats-server ${version}, messages of up to ${maxPayload} bytes; ${await roundTrip(
    address,
  )}`;
}

async function roundTrip(address: NatsAddress): Promise<string> {
  const { DEFAULT_PREFIX } = await import("../protocol/subjects.ts");
  const { connectNats } = await import("../protocol/connection.ts");
  const connection = await connectNats(address, { name: "lockstep doctor" });
  try {
    const subject = `${address.prefix ?? DEFAULT_PREFIX}.doctor.${crypto.randomUUID()}`;
    const arrived = Promise.withResolvers<string>();
    connection.subscribe(subject, {
      callback: (error, message) =>
        error ? arrived.reject(error) : arrived.resolve(message.string()),
    });
    await connection.flush();
    const start = performance.now();
    connection.publish(subject, "ping");
    const reply = await within(arrived.promise, 3_000, () => new Error("a message got lost"));
    if (reply !== "ping") throw new Error(`the server sent back "${reply}"`);
    return `a message went round in ${(performance.now() - start).toFixed(1)} ms`;
  } finally {
    await connection.close();
  }
}

async function checkPhotos(): Promise<string> {
  const { datasetFolder } = await import("../provision/datasets.ts");
  const path = datasetFolder("food-groups");
  if (!await exists(path)) throw new Error(`${path} is missing`);
  const { scanImageFolder } = await import("../data/datasets/image_folder.ts");
  const { classes, train, val } = await scanImageFolder(path);
  return `${train.length} + ${val.length} images of ${classes.length} classes in ${path}`;
}

async function checkWeights(): Promise<string> {
  const { pretrainedWeightsPath } = await import("../models/pretrained_weights.ts");
  const path = pretrainedWeightsPath("efficientnet_lite0");
  const { readWeights } = await import("../weights/weights_file.ts");
  const [{ tensors }] = await readWeights(path);
  return `${tensors.size} tensors in ${path}`;
}

async function checkWritable(): Promise<string> {
  const folder = Deno.cwd();
  const file = Deno.makeTempFileSync({ dir: folder, prefix: ".lockstep-doctor-" });
  using _file = removeAtStop(file);
  await Deno.remove(file);
  return `${folder} can be written`;
}
