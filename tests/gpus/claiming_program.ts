/**
 * A process that claims the GPUs of its machine, prints what it has got as a line of JSON, and holds it: `deno run
 * claiming_program.ts RUN WORKERS [devices]`. A refusal is printed, too.
 *
 * @module
 */
import { messageOf } from "../../src/base/errors.ts";
import { claimDevices } from "../../src/gpus/claim_devices.ts";

const [run = "", workers = "", devices] = Deno.args;
try {
  using found = await claimDevices({
    device: "gpu",
    devices: devices?.split(","),
    workers: workers === "" ? undefined : Number(workers),
  }, { run });
  const indices = found.devices.map((device) => device.kind === "gpu" ? device.index : -1);
  console.log(JSON.stringify({ indices, warnings: found.warnings }));
  await Deno.stdin.read(new Uint8Array(1));
} catch (error) {
  console.log(JSON.stringify({ refusal: messageOf(error) }));
}
