import assert from "node:assert/strict";
import {
  keepSecret,
  maskAddress,
  maskArguments,
  maskCredentials,
  maskedJson,
  maskRunText,
  maskSecrets,
} from "../../src/base/secrets.ts";

Deno.test("maskSecrets() masks credentials of addresses and known secrets in any text, and leaves paths alone", () => {
  assert.equal(maskSecrets("at nats://me:pa/s@s@host:4222, then"), "at nats://***@host:4222, then");
  assert.equal(
    maskSecrets("https://u:p@a.b/x and tls://t0ken@h"),
    "https://***@a.b/x and tls://***@h",
  );
  const plain = "https://a.b/x@2x.png file:///home/me@work/model.ts me@a.b";
  assert.equal(maskSecrets(plain), plain);
  keepSecret("Zx9 81@k");
  assert.equal(maskSecrets("env PW=Zx9 81@k or Zx9%2081%40k"), "env PW=*** or ***");
});

Deno.test("maskArguments() masks the value of every flag that names a server, with or without a scheme", () => {
  assert.equal(maskAddress("user:p@ss@host:1"), "***@host:1");
  assert.deepEqual(
    maskArguments([
      ...["train", "--nats", "u:pw@h:1", "--nats=tok@h", "--set", "nats.url=u:p/w@h"],
      ...["--set=nats.url=nats://tok@h", "--out", "a@b"],
    ]),
    [
      ...["train", "--nats", "***@h:1", "--nats=***@h", "--set", "nats.url=***@h"],
      ...["--set=nats.url=nats://***@h", "--out", "a@b"],
    ],
  );
});

Deno.test("maskCredentials() takes time that doesn't grow with the square of a text", () => {
  const start = performance.now();
  for (const piece of ["nats://", "a://", "a+", "x://y@", "A/"]) {
    maskCredentials(piece.repeat(200_000));
  }
  assert.ok(performance.now() - start < 20_000);
  assert.equal(maskCredentials("a https://me:pw@host/x@2 b"), "a https://***@host/x@2 b");
  assert.equal(
    maskedJson({ url: "nats://me:pw@host", list: [NaN, "x"] }),
    '{"url":"nats://***@host","list":[null,"x"]}',
  );
});

Deno.test("maskRunText() masks the address of a run's server also without a scheme", () => {
  const config = { nats: { url: "me:pw@host:4222" } };
  assert.equal(
    maskRunText("url: me:pw@host:4222 # nats://me:pw@host", config),
    "url: ***@host:4222 # nats://***@host",
  );
  for (const other of [undefined, null, {}, { nats: null }, { nats: { url: 4 } }]) {
    assert.equal(maskRunText("url: a@b", other), "url: a@b");
  }
});
