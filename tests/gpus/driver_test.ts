import assert from "node:assert/strict";
import {
  compareVersions,
  compilationFor,
  driverProblem,
  hasDriver,
} from "../../src/gpus/driver.ts";
import { someGpu } from "./some_gpus.ts";

Deno.test("driverProblem() asks for the driver that each generation needs", () => {
  const problem = (computeCapability: number | undefined, driverVersion: string) =>
    driverProblem({
      ...someGpu(0),
      driverVersion,
      ...(computeCapability ? { computeCapability } : {}),
    });
  const fine: [number, string][] = [
    [6.1, "525.60.13"],
    [7.0, "550.54.15"],
    [8.9, "535.104"],
    [9.0, "555.42.02"],
    [10.0, "570.86.15"],
    [12.0, "580.65.06"],
  ];
  for (const [capability, driver] of fine) {
    assert.equal(problem(capability, driver), undefined, `${capability}`);
  }
  const old: [number, string, RegExp][] = [
    [
      8.0,
      "470.256.02",
      /^The driver 470\.256\.02 is too old for GPU 0, .*: CUDA 12 needs 525\.60\.13 or newer/,
    ],
    [9.0, "550.54.15", /compiling TensorFlow's PTX 8\.5 for it needs 555\.42\.02/],
    [12.0, "560.28.03", /this GPU needs 570\.26/],
    [5.2, "570.86.15", /has compute capability 5\.2, and TensorFlow's kernels begin at 6\.0/],
  ];
  for (const [capability, driver, message] of old) {
    assert.match(problem(capability, driver)!, message);
  }
});

Deno.test("compilationFor() knows which GPUs compile TensorFlow's kernels first", () => {
  const of = (computeCapability: number) => compilationFor({ computeCapability });
  assert.deepEqual([7.0, 8.0, 8.9, 9.0, 10.0, 12.0].map(of), [
    "none",
    "none",
    "none",
    "part",
    "all",
    "all",
  ]);
  assert.equal(compilationFor({}), "none");
});

Deno.test("compareVersions() compares numbers, not texts", () => {
  assert.ok(compareVersions("525.60.13", "525.125") < 0);
  assert.ok(compareVersions("1000.1", "999.9.9") > 0);
  assert.equal(compareVersions("570", "570.0.0"), 0);
});

Deno.test("hasDriver() looks for the driver's files", async () => {
  const file = await Deno.makeTempFile();
  try {
    assert.equal(hasDriver([`${file}.none`, file]), true);
    assert.equal(hasDriver([`${file}.none`]), false);
  } finally {
    await Deno.remove(file);
  }
});
