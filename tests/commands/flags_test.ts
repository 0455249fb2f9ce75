import assert from "node:assert/strict";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { type CommandHelp, HELP_FLAG, parseFlags } from "../../src/commands/flags.ts";
import { withVariables } from "../support/environment.ts";

const COMMAND: CommandHelp = {
  name: "try",
  summary: "",
  positional: "[FILE…]",
  flags: [
    { name: "workers", short: "w", value: "N", help: "" },
    { name: "lr", value: "X", also: ["learning-rate"], help: "" },
    { name: "batch-size", value: "N", help: "" },
    { name: "set", value: "KEY=VALUE", many: true, help: "" },
    { name: "dashboard", value: "PORT", optional: true, help: "" },
    { name: "verbose", short: "v", help: "" },
    HELP_FLAG,
  ],
};

const parse = (...args: string[]) => parseFlags(COMMAND, args);

Deno.test("parseFlags() reads each spelling of a flag with a value", () => {
  for (const args of [["--workers", "3"], ["--workers=3"], ["-w", "3"], ["-w3"], ["-w=3"]]) {
    assert.equal(parse(...args).integer("workers", 1), 3, args.join(" "));
  }
  const flags = parse(
    "-vw",
    "3",
    "photo.jpg",
    "--set",
    "a=b=c",
    "-",
    "--set=d=",
    "--",
    "--lr",
    "-x",
  );
  assert.ok(flags.on("verbose"));
  assert.equal(flags.integer("workers", 1), 3);
  assert.deepEqual(flags.all("set"), ["a=b=c", "d="]);
  assert.deepEqual(flags.positional, ["photo.jpg", "-", "--lr", "-x"]);
  assert.equal(flags.given("lr"), false);
  assert.equal(flags.on("help"), false);
});

Deno.test("parseFlags() takes negative numbers for values, and other flags not", () => {
  for (const value of ["-1", "-.5", "-1e-3", "-inf"]) {
    assert.equal(parse("--lr", value).text("lr"), value);
    assert.equal(parse(`--lr=${value}`).text("lr"), value);
  }
  for (const args of [["--lr"], ["--lr", "--verbose"], ["--lr", ""], ["--lr="], ["--lr", "-v"]]) {
    const flags = parse(...args);
    assert.throws(() => flags.text("lr"), new UsageError("--lr needs a value"), args.join(" "));
  }
  assert.ok(parse("--lr", "--help").on("help"), "help is shown, whatever else is wrong");
});

Deno.test("parseFlags() takes a flag whose value is optional with and without it", () => {
  const port = (...args: string[]) => parse(...args).optionalInteger("dashboard", 1, true);
  assert.equal(port(), undefined);
  assert.equal(port("--dashboard"), true);
  assert.equal(port("--dashboard", "--verbose"), true);
  assert.equal(port("--dashboard", "8080"), 8080);
  assert.equal(port("--dashboard=8080"), 8080);
});

Deno.test("Flags blame a flag as it was typed", () => {
  assert.throws(() => parse("-w", "0").integer("workers", 1), /^UsageError: -w is 0: give a whole/);
  assert.throws(() => parse("-w").text("workers"), /^UsageError: -w needs a value$/);
  assert.throws(
    () => parse("-w", "1", "-w", "2").text("workers"),
    /^UsageError: -w is given 2 times: once is enough$/,
  );
  assert.throws(() => parse("--set").all("set"), /^UsageError: --set needs a value$/);
  for (const text of ["1_000", "1e3", "0x10", "2.5", " 3", "３", "-1", "two"]) {
    assert.throws(
      () => parse("--workers", text).integer("workers", 1),
      new UsageError(`--workers is ${text}: give a whole number of at least 1`),
    );
  }
});

Deno.test("parseFlags() refuses what it doesn't know, with the flag that was meant", () => {
  const refused: [string[], string][] = [
    [["--wokers", "2"], "Unknown flag --wokers of try: did you mean --workers?"],
    [["--batchSize=8"], "Unknown flag --batchSize of try: did you mean --batch-size?"],
    [["--batch_size", "8"], "Unknown flag --batch_size of try: did you mean --batch-size?"],
    [["--BATCH-SIZE", "8"], "Unknown flag --BATCH-SIZE of try: did you mean --batch-size?"],
    [["--learning_rate", "1"], "Unknown flag --learning_rate of try: did you mean --lr?"],
    [["-workers", "2"], "Unknown flag -workers of try: did you mean --workers?"],
    [["-lr=2"], "Unknown flag -lr of try: did you mean --lr?"],
    [["--no-verbose"], "Unknown flag --no-verbose of try: did you mean --verbose?"],
    [
      ["--train.lr", "1"],
      "Unknown flag --train.lr of try: keys of the config are set with --set train.lr=…",
    ],
    [["--verbose=5"], "--verbose takes no value, so =5 means nothing: leave it out"],
  ];
  for (const [args, message] of refused) {
    assert.throws(() => parse(...args), new UsageError(message), args.join(" "));
  }
  for (const name of ["__proto__", "constructor", "toString", "5", "x"]) {
    assert.throws(() => parse(`--${name}`, "1"), /^UsageError: Unknown flag /, name);
  }
  assert.throws(() => parse("-5"), /^UsageError: Unknown flag -5 of try/);
  const { positional: _, ...withoutPositional } = COMMAND;
  assert.throws(
    () => parseFlags(withoutPositional, ["photos"]),
    /^UsageError: Unexpected argument "photos" of try: flags start with --/,
  );
});

Deno.test("parseFlags() takes switches twice, and with true or false", () => {
  assert.ok(parse("--verbose", "-v").on("verbose"));
  assert.ok(parse("--verbose=true").on("verbose"));
  assert.equal(parse("--verbose=false").given("verbose"), false);
});

Deno.test("parseFlags() expands ~ in values that are paths, and in positional arguments", () => {
  const flags = [
    { name: "run", short: "r", value: "DIR", help: "" },
    { name: "allow-module", value: "FILE", many: true, help: "" },
    { name: "name", value: "NAME", help: "" },
    HELP_FLAG,
  ];
  const parse = (...args: string[]) => parseFlags({ ...COMMAND, flags }, args);
  using _home = withVariables({ HOME: "/home/me too" });
  const parsed = parse("--run=~/a b/", "--allow-module", "~/m.ts", "--name", "~/x", "~/p/*.jpg");
  assert.equal(parsed.text("run"), "/home/me too/a b");
  assert.deepEqual(parsed.all("allow-module"), ["/home/me too/m.ts"]);
  assert.equal(parsed.text("name"), "~/x");
  assert.deepEqual(parsed.positional, ["/home/me too/p/*.jpg"]);
  assert.equal(parse("-r", "~").text("run"), "/home/me too");
  assert.equal(parse("--run", "a/../b").text("run"), "a/../b", "as it was typed");
  assert.deepEqual(
    parse("~tmp.jpg", "a~").positional,
    ["~tmp.jpg", "a~"],
    "a pattern may give it",
  );
  const urls = parse("--run", "file:///a%20b/c", "--name", "file:///x", "FILE:///a%20b/*.jpg");
  assert.equal(urls.text("run"), "/a b/c");
  assert.equal(urls.text("name"), "file:///x");
  assert.deepEqual(urls.positional, ["/a b/*.jpg"]);
  const here = parse("-r", "file:a%20b", "file:./c.jpg");
  assert.equal(here.text("run"), join(Deno.cwd(), "a b"));
  assert.deepEqual(here.positional, [join(Deno.cwd(), "c.jpg")]);
  assert.throws(
    () => parse("-r", "file://host/x"),
    /^UsageError: -r is file:\/\/host\/x: it is no file: URL of this machine/,
  );
  assert.throws(
    () => parse("-r", "~bob/x"),
    /^UsageError: -r is ~bob\/x: ~bob would be somebody's/,
  );
  assert.ok(parse("-r", "~bob/x", "--help").on("help"));
  Deno.env.set("HOME", "");
  assert.throws(
    () => parse("--run", "~/x"),
    /^UsageError: --run is ~\/x: there is no home folder for ~, as HOME is not set/,
  );
  assert.throws(() => parse("~/x"), /^UsageError: The path is ~\/x: there is no home folder/);
});
