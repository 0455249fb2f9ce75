/**
 * A nats-server that knows its users by JWTs, as `nsc` makes them.
 *
 * @module
 */
import { nkeys } from "../../src/deps/nats_core.ts";
import { Buffer } from "node:buffer";

type KeyPair = ReturnType<typeof nkeys.createUser>;

const encoder = new TextEncoder();
const base64url = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64url");

function token(issuer: KeyPair, subject: KeyPair, name: string, nats: object): string {
  const head = base64url(JSON.stringify({ typ: "JWT", alg: "ed25519-nkey" }));
  const claims = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1000) - 60,
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name,
    nats: { version: 2, ...nats },
  };
  const signed = `${head}.${base64url(JSON.stringify(claims))}`;
  return `${signed}.${base64url(issuer.sign(encoder.encode(signed)))}`;
}

/** Returns the lines of a server's config, and the `.creds` file of a user. */
export function makeJwtUser(): { config: string; creds: string } {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const user = nkeys.createUser();
  const none = -1; // no limit
  const limits = {
    ...{ subs: none, data: none, payload: none, imports: none, exports: none },
    ...{ wildcards: true, conn: none, leaf: none },
  };
  const operatorJwt = token(operator, operator, "operator", { type: "operator" });
  const accountJwt = token(operator, account, "account", { type: "account", limits });
  const userJwt = token(account, user, "user", {
    type: "user",
    ...{ pub: {}, sub: {}, subs: none, data: none, payload: none },
  });
  return {
    config: `operator: ${operatorJwt}
      resolver: MEMORY
      resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
    creds: `-----BEGIN NATS USER JWT-----
${userJwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
${new TextDecoder().decode(user.getSeed())}
------END USER NKEY SEED------
`,
  };
}
