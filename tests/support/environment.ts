/**
 * Variables of the environment that only a part of a test sees.
 *
 * @module
 */

/**
 * Sets variables, or takes them away where their value is `undefined`, until the result is disposed of: then they are as
 * they were. What the work itself has set meanwhile to one of them is forgotten, too.
 */
export function withVariables(variables: Readonly<Record<string, string | undefined>>): Disposable {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) setVariable(name, value);
  return {
    [Symbol.dispose]: () => {
      for (const [name, value] of before) setVariable(name, value);
    },
  };
}

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) Deno.env.delete(name);
  else Deno.env.set(name, value);
}
