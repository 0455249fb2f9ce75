/**
 * Credentials for a nats-server, in each of the forms that servers ask for.
 *
 * @module
 */
import {
  type ConnectionOptions,
  credsAuthenticator,
  nkeyAuthenticator,
} from "../deps/nats_core.ts";
import { z } from "../deps/zod.ts";

/** Schema of {@linkcode Credentials}. */
export const credentialsSchema = z.union([
  z.strictObject({ user: z.string(), pass: z.string() }),
  z.strictObject({ token: z.string() }),
  /** The seed of a user's nkey (`SU…`): the server knows the public key, and the seed never travels. */
  z.strictObject({ nkey: z.string() }),
  /** The text of a `.creds` file: a user's JWT and the seed of its nkey. */
  z.strictObject({ creds: z.string() }),
]);

/** Credentials for a nats-server. */
export type Credentials = z.output<typeof credentialsSchema>;

/** Returns the options of a connection that has these credentials. */
export function connectionOptions(credentials: Credentials | undefined): ConnectionOptions {
  const bytes = (text: string) => new TextEncoder().encode(text);
  if (!credentials) return {};
  if ("nkey" in credentials) return { authenticator: nkeyAuthenticator(bytes(credentials.nkey)) };
  if ("creds" in credentials) {
    return { authenticator: credsAuthenticator(bytes(credentials.creds)) };
  }
  return credentials;
}

/** Returns the part of credentials that must not be shown. */
export function secretOf(credentials: Credentials): string {
  return "user" in credentials ? credentials.pass : Object.values(credentials)[0] ?? "";
}

/** Returns what credentials are, without anything secret. */
export function describeCredentials(credentials: Credentials): string {
  if ("user" in credentials) return `user ${JSON.stringify(credentials.user)} and a password`;
  if ("token" in credentials) return "a token";
  return "nkey" in credentials ? "an nkey" : "a JWT and its nkey";
}
