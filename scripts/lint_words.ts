/**
 * A plugin of `deno lint`: source files use the field's terms, not retired words, in code and comments.
 *
 * @module
 */
import { relative } from "node:path";
import { PROJECT_ROOT } from "./files.ts";
import { findRetiredWords, isExempt } from "./retired_words.ts";

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
  },
};

export default plugin;
