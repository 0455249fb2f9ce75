/**
 * The functions of CUDA's libraries that TensorFlow loads by name: the names stand in its libraries' constants.
 *
 * @module
 */

const NAME =
  /(?<=\0)(?:__cuda|cuda|cublasLt|cublas|cudnn|cufft|cusparse|cusolver|nvml|cu)[A-Z]\w{2,90}(?=\0)/g;
const SECTION_BYTES = 64;

/** Returns the names in one of TensorFlow's libraries (an ELF file, 64 bits, little-endian). */
export async function namesOfCudaFunctions(path: string): Promise<Set<string>> {
  using file = await Deno.open(path);
  const { offset, bytes } = await constants(file);
  const text = new TextDecoder("latin1").decode(await readAt(file, offset, bytes));
  return new Set(text.match(NAME));
}

/** Returns where the section `.rodata` stands. */
async function constants(file: Deno.FsFile): Promise<{ offset: number; bytes: number }> {
  const header = new DataView((await readAt(file, 0, SECTION_BYTES)).buffer);
  const [count, namesAt] = [header.getUint16(60, true), header.getUint16(62, true)];
  const table = await readAt(file, Number(header.getBigUint64(40, true)), count * SECTION_BYTES);
  const sections = Array.from({ length: count }, (_, at) => {
    const view = new DataView(table.buffer, at * SECTION_BYTES, SECTION_BYTES);
    const [offset, bytes] = [view.getBigUint64(24, true), view.getBigUint64(32, true)].map(Number);
    return { name: view.getUint32(0, true), offset: offset!, bytes: bytes! };
  });
  const { offset, bytes } = sections[namesAt]!;
  const names = new TextDecoder("latin1").decode(await readAt(file, offset, bytes));
  const found = sections.find(({ name }) => names.startsWith(".rodata\0", name));
  if (!found) throw new Error("The library has no section .rodata");
  return found;
}

async function readAt(
  file: Deno.FsFile,
  offset: number,
  bytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const content = new Uint8Array(bytes);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let at = 0; at < bytes;) {
    const count = await file.read(content.subarray(at));
    if (count === null) throw new Error("The library ends too early");
    at += count;
  }
  return content;
}
