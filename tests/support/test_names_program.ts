/**
 * Prints the titles that files of tests register, one JSON line per file, without running them: for titles that are
 * made when a file is imported. Arguments: the files' URLs.
 *
 * @module
 */
for (const file of Deno.args) {
  const names: string[] = [];
  const register = (first: string | Deno.TestDefinition) =>
    void names.push(typeof first === "string" ? first : first.name);
  const nothing = () => {};
  const hooks = { beforeAll: nothing, beforeEach: nothing, afterEach: nothing, afterAll: nothing };
  const value = Object.assign(register, { ignore: register, only: register, ...hooks });
  Object.defineProperty(Deno, "test", { value, configurable: true, writable: true });
  await import(file);
  console.log(JSON.stringify({ file, names }));
}
Deno.exit(0);
