import assert from "node:assert/strict";
import { join } from "node:path";
import { EventFile, frameRecord, maskedCrc } from "../../src/loggers/event_file.ts";
import { readEventFile, readRecords, slowCrc32c } from "../support/event_reader.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

/** The files of a folder in the order of their names, read. */
async function readAll(folder: string) {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
  return await Promise.all(names.map(async (name) => ({
    name,
    events: readEventFile(await Deno.readFile(join(folder, name))),
  })));
}

Deno.test("maskedCrc() is CRC-32C, rotated and shifted as the record format has it", () => {
  const check = new TextEncoder().encode("123456789");
  assert.equal(slowCrc32c(check), 0xe3069283); // the check value of CRC-32C
  const rotated = ((0xe3069283 >>> 15) | (0xe3069283 << 17)) >>> 0;
  assert.equal(maskedCrc(check), (rotated + 0xa282ead8) % 2 ** 32);
});

Deno.test("frameRecord() is read by a reader of its own, whatever the data", () => {
  const datas = [0, 1, 7, 300, 70_000].map((length) =>
    Uint8Array.from({ length }, (_, index) => (index * 31 + length) % 256)
  );
  const file = new Uint8Array(datas.flatMap((data) => [...frameRecord(data)]));
  assert.deepEqual(readRecords(file), datas);
  const last = datas.at(-1)!.length;
  assert.equal(
    readRecords(file.subarray(0, file.length - last / 2)).length,
    4,
    "half a record is none",
  );
  file[20]++;
  assert.throws(() => readRecords(file));
});

Deno.test("EventFile writes version, scalars, pictures and texts that are read back", () =>
  withTemporaryFolder(async (folder) => {
    const png = new Uint8Array([137, 80, 78, 71, 1, 2, 3]);
    {
      using file = new EventFile(folder, () => 1_800_000_000_500);
      file.summary(3, [{ tag: "loss/train", scalar: 0.125 }, { tag: "odd", scalar: NaN }]);
      file.summary(2 ** 40, [{ tag: "predictions", image: { width: 300, height: 200, png } }]);
      file.summary(0, [{ tag: "config", text: "name: Bäume 🌳" }]);
      file.restart(9);
    }
    const [{ name, events }] = await readAll(folder);
    assert.match(name, /^events\.out\.tfevents\.1800000000\..+\.\d+\.0$/);
    assert.deepEqual(events.map(({ wallTime }) => wallTime), Array(5).fill(1_800_000_000.5));
    assert.deepEqual(events[0], {
      wallTime: 1_800_000_000.5,
      step: 0,
      version: "brain.Event:2",
      values: [],
    });
    assert.deepEqual([events[1].step, events[1].values], [3, [
      { tag: "loss/train", scalar: 0.125 },
      { tag: "odd", scalar: NaN },
    ]]);
    assert.equal(events[2].step, 2 ** 40);
    assert.deepEqual(events[2].values, [{
      tag: "predictions",
      image: { width: 300, height: 200, colours: 3, png },
    }]);
    assert.deepEqual(events[3].values, [{ tag: "config", text: "name: Bäume 🌳" }]);
    assert.deepEqual([events[4].step, events[4].sessionStatus], [10, 1]);
  }));

Deno.test("EventFile begins a new file each time, read after those before, and leaves nothing unwritten", () =>
  withTemporaryFolder(async (folder) => {
    const first = new EventFile(folder, () => 5_000);
    const second = new EventFile(folder, () => 5_000);
    first.summary(1, [{ tag: "a", scalar: 1 }]);
    second.summary(2, [{ tag: "a", scalar: 2 }]);
    const read = await readAll(folder); // while both are open
    assert.deepEqual(read.map(({ events }) => events.at(-1)!.step), [1, 2]);
    first.close();
    first.close();
    first.summary(3, [{ tag: "a", scalar: 3 }]);
    second.close();
    assert.equal((await readAll(folder))[0].events.length, 2, "nothing after the end");
  }));
