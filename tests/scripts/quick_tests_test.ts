import assert from "node:assert/strict";
import { quickTests } from "../../scripts/quick_tests.ts";

Deno.test("quickTests() leaves out tests that need a process, a server or a browser, by their imports too", () => {
  const sources = new Map([
    ["tests/a/plain_test.ts", `import { a } from "../support/folder.ts";\n`],
    ["tests/a/child_test.ts", `new Deno.` + `Command("x");\n`],
    ["tests/a/rig_test.ts", `import { rig } from "../support/rig.ts";\n`],
    ["tests/a/deep_test.ts", `const { rig } = await import("../support/deep.ts");\n`],
    ["tests/a/browser_test.ts", `import { open } from "../support/page.ts";\n`],
    ["tests/a/helper.ts", `export const a = 1;\n`],
    ["tests/models/parity_test.ts", `import { a } from "../support/folder.ts";\n`],
    ["tests/support/folder.ts", `import "./folder.ts";\nexport const a = 1;\n`],
    ["tests/support/deep.ts", `export * from "./rig.ts";\n`],
    ["tests/support/rig.ts", `export const rig = () => start` + `Broker();\n`],
    ["tests/support/page.ts", `// opens chrom` + `ium\n`],
  ]);
  assert.deepEqual(quickTests(sources), ["tests/a/plain_test.ts"]);
});
