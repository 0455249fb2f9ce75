import assert from "node:assert/strict";
import { keepSecret, maskAddress, maskArguments, maskSecrets } from "../../src/base/secrets.ts";

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
