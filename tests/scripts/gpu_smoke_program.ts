/**
 * A program in the place of `run_check.ts`: its checks end in all ways there are.
 *
 * @module
 */
import { join } from "node:path";

const [, name, json] = Deno.args;
const { folder } = JSON.parse(json);
if (name === "hangs") {
  // A child that ignores the usual signals must end as well.
  new Deno.Command("sh", {
    args: ["-c", `trap '' TERM INT HUP; echo $$ > ${folder}/child; sleep 60`],
  })
    .spawn();
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
if (name === "crashes") Deno.kill(Deno.pid, "SIGABRT");
if (name === "throws") throw new Error("no such card");
if (name === "says-nothing") Deno.exit(0);
const environment = ["CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE"].map((key) =>
  Deno.env.get(key)
);
await Deno.writeTextFile(
  join(folder, `${name}.json`),
  JSON.stringify({ status: "pass", figure: environment.join(" ") }),
);
