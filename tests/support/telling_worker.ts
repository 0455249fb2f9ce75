/**
 * A worker process for tests that says what it was given, and ends.
 *
 * @module
 */
import { nativeVariable } from "../../src/engine/binding/native_environment.ts";
import { bindToDevice } from "../../src/worker/open_device.ts";
import { readParent } from "../../src/worker/parent.ts";

const { settings: { index, device, libraryPath } } = await readParent();
const boundCpus = bindToDevice(device) ?? null;
const visible = nativeVariable("CUDA_VISIBLE_DEVICES") ?? null;
console.log(JSON.stringify({ index, visible, device, libraryPath, boundCpus }));
Deno.exit(0);
