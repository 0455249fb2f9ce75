/**
 * Fuzzer of archives: tar, gzipped tar and zip files that are altered, whose headers lie, and whose entries lead
 * elsewhere; and wheels.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { unpackArchive } from "../../../src/provision/archive.ts";
import { unpackEntries } from "../../../src/provision/wheel.ts";
import { defineFuzzer } from "../fuzzer.ts";
import { mutate, type Mutation, mutations } from "../mutations.ts";
import { checkRefusal } from "../refusals.ts";
import { memoryFolder } from "../memory_folder.ts";
import { mendTar, paxRecord, type TarMember, tarSample } from "../tar_sample.ts";
import { zipSample } from "../zip_sample.ts";

const LIMITS = { maxEntries: 12, maxBytes: 48 * 1024 };
const encoder = new TextEncoder();

/** Names of files, and names that lead elsewhere. */
const NAMES = [
  ...[
    "a.txt",
    "cat/1.jpg",
    "dog/2.jpg",
    "dog/",
    "größe 💙.jpg",
    "a.txt/b",
    "x".repeat(90),
    ".hidden",
    "dog/./3.jpg",
  ],
  ...[
    "../out.txt",
    "/etc/fuzzed",
    "cat/../../out.txt",
    "C:\\x",
    "..\\out.txt",
    "cat\\4.jpg",
    "",
    ".",
    "..",
    "/",
    "//x",
  ],
  ...[
    "a\0b",
    "a\nb",
    "__MACOSX/a",
    "cat/" + "d/".repeat(40) + "e",
    "\u202egpj.exe",
    "NUL",
    "a:b",
    "~/x",
    "dog//5.jpg",
  ],
];
const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...NAMES) }, {
  weight: 1,
  arbitrary: fc.string({ maxLength: 8 }),
});
const content = fc.oneof(
  fc.constantFrom("a cat", "", "b".repeat(600), "zero").map((text) => encoder.encode(text)),
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom(...[20_000, 40_000, 100_000].map((length) => new Uint8Array(length))),
);
const size = fc.option(
  fc.constantFrom(
    "00000000000\0",
    "77777777777\0",
    "-0000000001\0",
    "           \0",
    "00000000009\0",
    "\x80\0\0\0\0\0\0\0\xff\xff\xff\xff",
    "0x1ff\0",
    "99\0",
  ),
  { freq: 6, nil: undefined },
);
const plain = fc.record({ name, content });
const member: fc.Arbitrary<TarMember> = fc.oneof(
  { weight: 6, arbitrary: plain },
  {
    weight: 2,
    arbitrary: fc.record({
      name,
      content,
      type: fc.constantFrom(
        "0",
        "\0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "L",
        "K",
        "S",
        "g",
        "x",
        "V",
        "Z",
      ),
      link: fc.constantFrom("", "/etc/passwd", "../../out", "a.txt"),
      prefix: fc.constantFrom("", "..", "/abs", "p/q"),
      magic: fc.constantFrom("ustar\x0000", "ustar  \0", "", "other"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom(
        "path",
        "size",
        "linkpath",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "",
        "__proto__",
      ),
      fc.oneof(name, fc.constantFrom("99999999999999", "-1", "NaN", "1e9")),
    ).map(([key, value]): TarMember => ({
      name: "PaxHeader/x",
      type: "x",
      content: paxRecord(key, value),
    })),
  },
).chain((own) => size.map((text) => text === undefined ? own : { ...own, size: text }));

interface Input {
  readonly format: "tar" | "tar.gz" | "zip" | "wheel";
  readonly members: readonly TarMember[];
  readonly isDeflated: boolean;
  readonly mode: number;
  /** Changes before compression, after which checksums are mended … */
  readonly inner: readonly Mutation[];
  /** … and of the whole file. */
  readonly outer: readonly Mutation[];
}

const some = fc.oneof({ weight: 2, arbitrary: fc.constant<Mutation[]>([]) }, {
  weight: 1,
  arbitrary: mutations,
});
let folder: Awaited<ReturnType<typeof memoryFolder>>;
let number = 0;

export const FUZZER = defineFuzzer<Input>({
  seed: 20_010,
  input: fc.record({
    format: fc.constantFrom("tar" as const, "tar.gz" as const, "zip" as const, "wheel" as const),
    members: fc.array(member, { minLength: 1, maxLength: 4 }),
    isDeflated: fc.boolean(),
    mode: fc.constantFrom(0, 0o100644, 0o120777, 0o040755, 0o010644, 0o060644),
    inner: some,
    outer: some,
  }),
  maxBytes: 24 * 2 ** 20,
  setUp: async () => folder = await memoryFolder(),
  async check(drawn) {
    const place = join(folder.path, `${number++}`);
    const target = join(place, "out");
    const archive = join(place, drawn.format === "wheel" ? "fuzzed.whl" : `fuzzed.${drawn.format}`);
    Deno.mkdirSync(place);
    try {
      Deno.writeFileSync(archive, bytesOf(drawn));
      const unpacked = await unpack(drawn, archive, target);
      const beside = [...Deno.readDirSync(place)].map((entry) => entry.name);
      assert.ok(beside.length <= 2, `nothing is written beside the folder: ${beside}`);
      const { bytes, entries } = inside(target);
      if (drawn.format !== "wheel") { // whose one file is code, which is run: a limit of bytes would save nobody
        assert.ok(bytes <= LIMITS.maxBytes, `${bytes} bytes`);
        assert.ok(entries <= 50 * LIMITS.maxEntries, `${entries} entries`);
      }
      if (unpacked && drawn.inner.length + drawn.outer.length === 0) checkContent(drawn, target);
    } finally {
      Deno.removeSync(place, { recursive: true });
    }
  },
});

function bytesOf({ format, members, isDeflated, mode, inner, outer }: Input): Uint8Array {
  if (format === "zip" || format === "wheel") {
    const sample = zipSample(members.map((each) => ({
      ...{ name: each.name, content: each.content, deflate: isDeflated },
      ...(mode === 0 ? {} : { mode }),
    })));
    return mutate(sample, [...inner, ...outer]);
  }
  const tar = mendTar(mutate({ bytes: tarSample(members) }, inner));
  return mutate(
    { bytes: format === "tar" ? tar : new Uint8Array(gzipSync(tar, { level: 1 })) },
    outer,
  );
}

/** Unpacks; returns false where it is refused. */
async function unpack(
  { format, members }: Input,
  archive: string,
  target: string,
): Promise<boolean> {
  try {
    if (format !== "wheel") await unpackArchive(archive, target, () => {}, LIMITS);
    else {
      Deno.mkdirSync(target);
      const [first] = members;
      const entries = new Map([[first!.name, join(target, "library.so")]]);
      await unpackEntries(archive, entries, "The fuzzed wheel", () => {});
    }
    return true;
  } catch (error) {
    checkRefusal(error, { naming: archive, mayQuote: true });
    return false;
  }
}

/** Bytes and entries below a folder; refuses whatever is neither a file nor a folder. */
function inside(path: string): { bytes: number; entries: number } {
  let bytes = 0;
  let entries = 0;
  let names: Deno.DirEntry[];
  try {
    names = [...Deno.readDirSync(path)];
  } catch {
    return { bytes, entries }; // it was never made
  }
  for (const { name, isDirectory, isFile } of names) {
    entries++;
    assert.ok(isDirectory || isFile, `${name} is a link or a device`);
    if (isFile) bytes += Deno.lstatSync(join(path, name)).size;
    else {
      const below = inside(join(path, name));
      bytes += below.bytes;
      entries += below.entries;
    }
  }
  return { bytes, entries };
}

/** Plain files are there as they were packed. */
function checkContent({ format, members, mode }: Input, target: string): void {
  if (mode === 0o040755) return; // in a zip archive: all are folders
  for (const { name, content, ...odd } of members) {
    const isPlain = Object.keys(odd).length === 0 &&
      /^[a-z0-9]+(\/[a-z0-9]+)?\.(txt|jpg)$/.test(name);
    if (!isPlain || members.some(({ type }) => type !== undefined)) continue;
    const path = format === "wheel" ? join(target, "library.so") : join(target, name);
    if (format === "wheel" && name !== members[0]!.name) continue;
    assert.deepEqual(Deno.readFileSync(path), content);
  }
}
