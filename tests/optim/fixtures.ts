/**
 * Reads the fixtures of `scripts/make_optim_fixtures.py`.
 *
 * @module
 */

/** A command that makes a fixture, without what stands before its name. */
const COMMANDS = {
  optimizers: (name: string) => `optimizer ${name} '{"lr": 0.01}' '{"lr": 0.02, …}'`,
  schedules: (name: string) => `schedule ${name} '{…}'`,
};

/**
 * Reads the cases of an optimizer or a schedule.
 *
 * @throws {Error} that says how to make them when they are missing
 */
export async function readCases<Case>(
  kind: keyof typeof COMMANDS,
  name: string,
): Promise<readonly Case[]> {
  const path = `tests/fixtures/optim/${kind}/${name}.json`;
  const url = new URL(`../../${path}`, import.meta.url);
  const text = await Deno.readTextFile(url).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const command = COMMANDS[kind](name);
    throw new Error(
      `There is no fixture ${path}: make it with "python scripts/make_optim_fixtures.py ${command}"`,
    );
  });
  return JSON.parse(text).cases;
}
