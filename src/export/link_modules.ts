/**
 * Joins TypeScript modules into one plain script for a page, which may be opened without a server: there, browsers
 * load no modules.
 *
 * What a page runs is so the very code that trains. It understands what the modules concerned do (imports by name or of
 * all names, exports of declarations, and lists of other modules' exports) and refuses everything else.
 *
 * @module
 */
import { stripTypeScriptTypes } from "node:module";

/** Replacements of modules. */
export type StandIns = Readonly<Record<string, string>>;

const IMPORT = /^import\s*(?:\{([^}]*)\}|\*\s*as\s+([\w$]+))\s*from\s*"([^"]+)";?[ \t]*$/gm;
const RE_EXPORT = /^export\s*\{([^}]*)\}\s*from\s*"([^"]+)";?[ \t]*$/gm;
const EXPORT = /^export\s+(?=(?:async\s+)?(?:const|function\*?|class)\s+([\w$]+))/gm;

interface Module {
  /** The variable that holds its exports. */
  readonly name: string;
  /** JavaScript of a function's body that returns the exports. */
  readonly body: string;
}

/**
 * Links a module and all that it imports.
 *
 * @param entry URL of the module
 * @param global Name of the global variable that gets its exports
 * @param standIns JavaScript expressions with the exports of modules, by URL, or by specifier for bare ones
 * @returns A classic script
 * @throws {SyntaxError} when a module does what can't be linked
 */
export async function linkModules(
  entry: URL,
  global: string,
  standIns: StandIns = {},
): Promise<string> {
  const modules = new Map<string, Module>();
  for (const [specifier, expression] of Object.entries(standIns)) {
    modules.set(specifier, { name: `package${modules.size}`, body: `return ${expression};` });
  }
  const visit = async (url: URL): Promise<Module> => {
    const known = modules.get(url.href);
    if (known) return known;
    const code = stripTypeScriptTypes(await textOf(url));
    const imports: string[] = [];
    const moduleOf = async (specifier: string) => {
      const bare = !/^\.{1,2}\//.test(specifier);
      if (bare && !modules.has(specifier)) {
        throw new SyntaxError(`${url} imports ${specifier}, which a page has not`);
      }
      return bare ? modules.get(specifier)! : await visit(new URL(specifier, url));
    };
    for (const [, names, all, specifier] of code.matchAll(IMPORT)) {
      const bindings = all ?? bindingsOf(names);
      if (bindings === undefined) continue; // types only
      const { name } = await moduleOf(specifier);
      imports.push(`const ${bindings} = ${name};`);
    }
    const reExported: string[] = [];
    for (const [, names, specifier] of code.matchAll(RE_EXPORT)) {
      if (namesIn(names).length === 0) continue; // types only
      const { name } = await moduleOf(specifier);
      for (const each of namesIn(names)) {
        const [inner, outer = inner] = each.split(/\s+as\s+/);
        reExported.push(`${outer}: ${name}.${inner}`);
      }
    }
    const exported = [...code.matchAll(EXPORT)].map(([, name]) => name);
    const plain = code.replace(IMPORT, "").replace(RE_EXPORT, "").replace(EXPORT, "");
    const left = /^(?:import|export)\b.*|\bimport\s*[.(].*/m.exec(withoutComments(plain));
    if (left) throw new SyntaxError(`${url} can't be linked into a script: ${left[0]}`);
    const module = {
      name: `module${modules.size}`,
      body: `${imports.join("\n")}\n${plain.trim()}\nreturn { ${
        [...exported, ...reExported].join(", ")
      } };`,
    };
    modules.set(url.href, module);
    return module;
  };
  const last = await visit(entry);
  const parts = [...modules.values()].map(({ name, body }) =>
    `const ${name} = (() => {\n${body}\n})();`
  );
  return `"use strict";\nconst ${global} = (() => {\n${
    parts.join("\n")
  }\nreturn ${last.name};\n})();\n`;
}

/** The source of a module; an import finds it on disk or at an address, wherever the program came from. */
async function textOf(url: URL): Promise<string> {
  return (await import(url.href, { with: { type: "text" } })).default;
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/** Names between braces; types are gone by now. */
function namesIn(names: string): string[] {
  return names.split(",").map((name) => name.trim()).filter(Boolean);
}

/** A pattern that takes names off a module's exports; nothing where there are none. */
function bindingsOf(names: string): string | undefined {
  const bindings = namesIn(names).map((name) => name.replace(/\s+as\s+/, ": "));
  return bindings.length === 0 ? undefined : `{ ${bindings.join(", ")} }`;
}
