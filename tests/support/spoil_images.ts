/**
 * A preload for the command line (`deno run --preload`) that takes an image away in mid-run and cuts another one short:
 * in the coordinator's process, before it writes `history.json` for the third time, so that the run can't get ahead of it.
 *
 * Environment: `LOCKSTEP_TEST_GONE` and `LOCKSTEP_TEST_CUT` are the paths of the images. The whole ones stay beside them,
 * as `<path>.away`.
 *
 * @module
 */
const [gone, cut] = ["LOCKSTEP_TEST_GONE", "LOCKSTEP_TEST_CUT"].map((name) => Deno.env.get(name)!);
const rename = Deno.rename;
let count = 0;

Deno.rename = (from, to) => {
  if (String(to).endsWith("/history.json") && ++count === 3) spoil();
  return rename(from, to);
};

function spoil(): void {
  for (const path of [gone, cut]) Deno.renameSync(path, `${path}.away`);
  const bytes = Deno.readFileSync(`${cut}.away`);
  Deno.writeFileSync(cut, bytes.subarray(0, bytes.length >> 1));
}
