import assert from "node:assert/strict";
import { allGone } from "../support/processes.ts";

const MODULE = new URL("../../scripts/children.ts", import.meta.url).href;
const SCRIPT = `import { startChild, succeeds } from ${JSON.stringify(MODULE)};
const child = startChild("sleep", { args: ["60"], stdin: "null" });
console.log(child.pid);
await child.status;
await succeeds("echo", { args: ["the next stage"] });`;

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  Deno.test({
    name: `a script takes its programs along at ${signal}, and starts no more`,
    ignore: Deno.build.os === "windows",
    fn: async () => {
      const process = new Deno.Command(Deno.execPath(), {
        args: ["eval", "--no-check", SCRIPT],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const pid = Number((await reader.read()).value);
      assert.ok(pid > 0);
      process.kill(signal);
      const status = await process.status;
      assert.equal(status.code, code);
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        rest += part.value;
      }
      assert.equal(rest, "");
      await process.stdin.close();
      await process.stderr.cancel();
      await allGone([pid]);
    },
  });
}
