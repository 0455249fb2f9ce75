/**
 * Files that people take for weights: what they are, by their first bytes, and the cure.
 *
 * @module
 */

/** A kind of file that holds no weights that can be read. */
export interface FileKind {
  /** A clause, such as `it is an HDF5 file`. */
  readonly reason: string;
  /** A phrase in the imperative; the usual one unless given. */
  readonly cure?: string;
}

const FETCH_AGAIN = "fetch the file itself";
const CONVERT =
  "load it where it was made and save its PyTorch names as .safetensors, or give a .pth file";

/** First bytes of kinds, each with an offset. */
const SIGNATURES: readonly (readonly [offset: number, bytes: readonly number[], FileKind])[] = [
  [0, [0x89, 0x48, 0x44, 0x46], {
    reason: "it is an HDF5 file, as Keras and TensorFlow write",
    cure: CONVERT,
  }],
  [0, [0x1f, 0x8b], { reason: "it is compressed with gzip", cure: "unpack it first" }],
  [0, [0x42, 0x5a, 0x68], { reason: "it is compressed with bzip2", cure: "unpack it first" }],
  [0, [0xfd, 0x37, 0x7a, 0x58, 0x5a], {
    reason: "it is compressed with xz",
    cure: "unpack it first",
  }],
  [0, [0x28, 0xb5, 0x2f, 0xfd], { reason: "it is compressed with zstd", cure: "unpack it first" }],
  [0, [0x37, 0x7a, 0xbc, 0xaf], { reason: "it is a 7z archive", cure: "unpack it first" }],
  [257, [0x75, 0x73, 0x74, 0x61, 0x72], { reason: "it is a tar archive", cure: "unpack it first" }],
  [0, [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], { reason: "it is an array of NumPy (.npy)" }],
  [0, [0x47, 0x47, 0x55, 0x46], { reason: "it is a GGUF file of a language model" }],
  [4, [0x54, 0x46, 0x4c, 0x33], { reason: "it is a TensorFlow Lite model", cure: CONVERT }],
  [0, [0xff, 0xd8, 0xff], { reason: "it is a JPEG image" }],
  [0, [0x89, 0x50, 0x4e, 0x47], { reason: "it is a PNG image" }],
  [0, [0x25, 0x50, 0x44, 0x46], { reason: "it is a PDF" }],
];

/** Recognizes a file that is neither of PyTorch nor safetensors. */
export function recognizeFile(bytes: Uint8Array): FileKind {
  if (bytes.length === 0) return { reason: "it is empty", cure: FETCH_AGAIN };
  const signature = SIGNATURES.find(([offset, start]) =>
    start.every((byte, i) => bytes[offset + i] === byte)
  );
  if (signature) return signature[2];
  const start = new TextDecoder().decode(bytes.subarray(0, 400)).trimStart();
  if (/^<(!doctype|html|head|\?xml)/i.test(start)) {
    return {
      reason: "it looks like a web page",
      cure: "open its address in a browser to see what it says, and fetch the file itself",
    };
  }
  if (start.startsWith("version https://git-lfs")) {
    return {
      reason: "it is a pointer of Git LFS in the place of the file",
      cure: "run git lfs pull where it was cloned, or fetch the file itself",
    };
  }
  if (bytes.every((byte) => byte === 0)) {
    return { reason: "it has nothing but zeros", cure: FETCH_AGAIN };
  }
  if (/^[[{]/.test(start)) return { reason: "it is JSON" };
  const [first, protocol = 0] = bytes;
  if (first === 0x80 && protocol >= 2 && protocol <= 5) {
    return {
      reason: "it is a pickle that torch.save didn't write",
      cure: "load it in Python and save the state dict with torch.save",
    };
  }
  return { reason: "its first bytes are neither those of PyTorch's formats nor of safetensors" };
}
