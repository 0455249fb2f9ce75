/**
 * Names and addresses from outside: what of them may be shown, kept and put into a spreadsheet.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readTextCell, textCell } from "../../src/base/csv.ts";
import { visible } from "../../src/base/visible_text.ts";
import { validateConfig } from "../../src/config/load.ts";
import { printable } from "../../src/terminal/terminal_stream.ts";
import { tinyConfig } from "../support/tiny_run.ts";
import type { Case } from "./case.ts";

const HIDDEN: [name: string, text: string, shown: string][] = [
  ["ESC", "a\x1b[2Jb", "a\\x1b[2Jb"],
  ["C1 CSI", "a\x9b2J", "a\\x9b2J"],
  ["OSC title", "\x1b]0;owned\x07", "\\x1b]0;owned\\x07"],
  ["right-to-left override", "a\u202egpj", "a\\u202egpj"],
  ["isolates", "\u2066a\u2069", "\\u2066a\\u2069"],
  ["zero width", "a\u200bb\ufeff", "a\\u200bb\\ufeff"],
  ["line separator", "a\u2028b", "a\\u2028b"],
  ["carriage return", "abc\rok", "abc\\rok"],
];

const FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1"];

const ADDRESSES = [
  "nats://user:hidden!pw@h:4222",
  "tls://hidden!pw@h:4222",
  "user:hidden!pw@h:4222",
];

export const CASES: readonly Case[] = [
  ...HIDDEN.map(([name, text, shown]): Case => ({
    name: `${name} in a name`,
    must: "is shown as an escape",
    run: () => {
      assert.equal(visible(text), shown);
      assert.equal(printable(text), shown);
    },
  })),
  ...FORMULAS.map((text): Case => ({
    name: `${JSON.stringify(text)} as a class`,
    must: "is no formula in a CSV file, and reads back as it was",
    run: () => {
      assert.match(textCell(text), /^['\\]/);
      assert.equal(readTextCell(textCell(text)), text);
    },
  })),
  ...ADDRESSES.map((url): Case => ({
    name: `nats.url ${url.replace("hidden!pw", "PASSWORD")}`,
    must: "a validated config holds no credentials",
    run: () => {
      const config = validateConfig(tinyConfig("images", { nats: { url } }));
      assert.doesNotMatch(JSON.stringify(config), /hidden/);
      assert.match(config.nats.url!, /^((nats|tls):\/\/)?h:4222$/);
    },
  })),
  {
    name: "nats.url that is none, with a password",
    must: "is refused without the password",
    run: () => {
      const config = tinyConfig("images", { nats: { url: "ftp://u:hidden/@pw@h" } });
      assert.throws(() => validateConfig(config), (error: Error) => {
        assert.match(error.message, /nats\.url is .*\*\*\*@h/);
        assert.doesNotMatch(error.message, /hidden/);
        return true;
      });
    },
  },
];
