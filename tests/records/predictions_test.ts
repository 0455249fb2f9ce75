import assert from "node:assert/strict";
import { join } from "node:path";
import { LockstepError } from "../../src/base/errors.ts";
import { readPredictions, writePredictions } from "../../src/records/predictions.ts";
import { withTemporaryFolder } from "../support/temporary_folder.ts";

Deno.test("writePredictions() writes one line per image, and quotes what RFC 4180 asks to quote", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "predictions.csv");
    await Deno.writeTextFile(path, "what stood there before, and is longer than the header alone");
    await writePredictions(folder, []);
    const header = "path,true_class,predicted_class,confidence\r\n";
    assert.equal(await Deno.readTextFile(path), header);
    assert.deepEqual(await readPredictions(folder), []);
    const predictions = [
      { path: "val/ant/1.jpg", trueClass: "ant", predictedClass: "bee", confidence: 0.12345678 },
      { path: 'a, "b"\n.jpg', trueClass: "Käfer", predictedClass: "Käfer", confidence: 1 },
      { path: "=1+1", trueClass: "@x", predictedClass: "a\x1b[31m", confidence: 0.5 },
    ];
    await writePredictions(folder, predictions);
    assert.equal(
      await Deno.readTextFile(path),
      `${header}val/ant/1.jpg,ant,bee,0.123457\r\n"a, ""b""\\n.jpg",Käfer,Käfer,1.000000\r\n` +
        "'=1+1,'@x,a\\x1b[31m,0.500000\r\n",
    );
    const [first, ...others] = predictions;
    const rounded = { ...first, confidence: 0.123457 };
    assert.deepEqual(await readPredictions(folder), [rounded, ...others]);
  }));

Deno.test("readPredictions() names a file that isn't there, and one that holds something else", () =>
  withTemporaryFolder(async (folder) => {
    const refusal = (message: RegExp) => (error: unknown) =>
      error instanceof LockstepError && message.test(error.message);
    await assert.rejects(readPredictions(folder), refusal(/predictions\.csv can't be read/));
    await Deno.writeTextFile(join(folder, "predictions.csv"), "epoch,loss\n1,2\n");
    await assert.rejects(readPredictions(folder), refusal(/predictions\.csv holds no predictions/));
    // Cut within a line; an escape that is no character stays as it is.
    const header = "path,true_class,predicted_class,confidence\r\n";
    const row = "a\\u{ffffff}.jpg,ant,bee,0.5\r\n";
    await Deno.writeTextFile(join(folder, "predictions.csv"), `${header}${row}b.jpg,an`);
    await assert.rejects(readPredictions(folder), refusal(/its line 3 has 2 values instead of 4/));
    await Deno.writeTextFile(join(folder, "predictions.csv"), `${header}${row}`);
    assert.equal((await readPredictions(folder))[0].path, "a\\u{ffffff}.jpg");
  }));
