import assert from "node:assert/strict";
import {
  armFaultPoint,
  enterFaultStep,
  isFaultPoint,
  takeFaultPoint,
} from "../../src/base/fault_point.ts";

Deno.test("a fault point is armed for its rank and step alone", () => {
  const isArmed = (text: string | undefined, rank: number, step: number) => {
    armFaultPoint(text, rank);
    enterFaultStep(step);
    return isFaultPoint("before-commit");
  };
  assert.equal(isArmed(undefined, 0, 0), false);
  assert.equal(isArmed("", 0, 0), false);
  assert.equal(isArmed("after-commit", 0, 0), false);
  assert.ok(isArmed("before-commit", 3, 7));
  assert.ok(isArmed("before-commit:3", 3, 7));
  assert.equal(isArmed("before-commit:2", 3, 7), false);
  assert.ok(isArmed("before-commit:3:7", 3, 7));
  assert.equal(isArmed("before-commit:3:0", 3, 7), false);
  armFaultPoint(undefined, 0);
});

Deno.test("a point that damages a process is taken once, and others stay armed", () => {
  armFaultPoint("flip-bit:1,record:1:3", 1);
  enterFaultStep(3);
  assert.deepEqual([1, 2].map(() => takeFaultPoint("flip-bit")), [true, false]);
  assert.ok(isFaultPoint("record"));
  armFaultPoint(undefined, 0);
  assert.equal(takeFaultPoint("flip-bit"), false);
});

Deno.test("a malformed fault point is refused", () => {
  for (const text of ["sometime", "record:x", "record:1:2:3:4", "record:-1", "record:1:", ":1"]) {
    assert.throws(() => armFaultPoint(text, 0), {
      name: "UsageError",
      message: new RegExp(
        `^LOCKSTEP_FAULT_POINT is ${text}: give name, name:rank, .* slot, record`,
      ),
    });
  }
});
