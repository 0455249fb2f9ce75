/**
 * The kernels that a build of TensorFlow has registered.
 *
 * @module
 */
import { BinaryReader, WireType } from "../../src/deps/protobuf_wire.ts";

const P = "pointer" as const;

/**
 * Returns the devices for which each op has a kernel, such as `GPU`.
 *
 * @param libraryPath The opened libtensorflow
 * @param bytesOf Copies what a `TF_Buffer` holds
 */
export function registeredKernels(
  libraryPath: string,
  bytesOf: (buffer: Deno.PointerValue) => Uint8Array,
): Map<string, Set<string>> {
  const { symbols } = Deno.dlopen(libraryPath, {
    TF_NewStatus: { parameters: [], result: P },
    TF_DeleteStatus: { parameters: [P], result: "void" },
    TF_GetAllRegisteredKernels: { parameters: [P /* status */], result: P },
    TF_DeleteBuffer: { parameters: [P /* buffer */], result: "void" },
  });
  const status = symbols.TF_NewStatus();
  const buffer = symbols.TF_GetAllRegisteredKernels(status);
  const kernels = parseKernels(bytesOf(buffer));
  symbols.TF_DeleteBuffer(buffer);
  symbols.TF_DeleteStatus(status);
  return kernels;
}

/** Reads a `tensorflow.KernelList`: of each kernel (field 1) its op (1) and its type of device (2). */
export function parseKernels(bytes: Uint8Array): Map<string, Set<string>> {
  const devices = new Map<string, Set<string>>();
  const list = new BinaryReader(bytes);
  while (list.pos < list.len) {
    const [field, wire] = list.tag();
    if (field !== 1 || wire !== WireType.LengthDelimited) {
      list.skip(wire);
      continue;
    }
    const kernel = new BinaryReader(list.bytes());
    let [op, device] = ["", ""];
    while (kernel.pos < kernel.len) {
      const [number, type] = kernel.tag();
      if (number === 1) op = kernel.string();
      else if (number === 2) device = kernel.string();
      else kernel.skip(type);
    }
    devices.set(op, (devices.get(op) ?? new Set()).add(device));
  }
  return devices;
}
