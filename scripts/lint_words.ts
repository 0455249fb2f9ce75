/**
 * A plugin of `deno lint`: source files use the field's terms, not retired words, in code and comments, and summaries of
 * doc comments are noun phrases or third-person verbs.
 *
 * @module
 */
import { relative } from "node:path";
import { PROJECT_ROOT } from "./files.ts";
import { findRetiredWords, isExempt } from "./retired_words.ts";

/** The first word of a doc comment, behind its `*`, if the summary would be a question's clause. */
const CLAUSE = /^\*\s*(?:\*\s*)?((?:What|Who|Whose|Whom|Where|How|When|Which|Whether|Why)\b)/;

const plugin: Deno.lint.Plugin = {
  name: "lockstep",
  rules: {
    "retired-words": {
      create(context) {
        const file = relative(PROJECT_ROOT, context.filename).replaceAll("\\", "/");
        return {
          Program() {
            if (isExempt(file)) return;
            for (const { start, end, message } of findRetiredWords(context.sourceCode.text)) {
              context.report({ range: [start, end], message });
            }
          },
        };
      },
    },
    "doc-summary": {
      create(context) {
        return {
          Program() {
            for (const { type, value, range } of context.sourceCode.getAllComments()) {
              const [, first] = type === "Block" && CLAUSE.exec(value) || [];
              if (!first) continue;
              context.report({
                range,
                message: `A doc comment begins with "${first}": ` +
                  'begin with a noun phrase or a verb, such as "The path of …" or "Returns …"',
              });
            }
          },
        };
      },
    },
  },
};

export default plugin;
