/**
 * The guard of the dashboard: which requests it answers.
 *
 * On loopback: programs of this machine, and pages that came from the dashboard itself. The `Host` header must be a
 * loopback name, so that a foreign site whose name leads to 127.0.0.1 (DNS rebinding) gets nothing. On any other
 * address: whoever has the token.
 *
 * @module
 */
import { timingSafeEqual } from "node:crypto";

/** The way in which the server is reached. */
export interface GuardOptions {
  /** Needed for everything when given. */
  readonly token?: string;
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** Addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The parts of a request that decide. */
type AskedOf = Pick<Request, "method" | "headers">;

/** Decides about requests. */
export class Guard {
  readonly #token: string | undefined;

  constructor({ token }: GuardOptions) {
    this.#token = token;
  }

  /** The answer to a request that may not pass, or one that takes the token out of the address. */
  check(request: AskedOf, url: URL): Response | undefined {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return refusal(405, "The dashboard only shows: nothing can be changed", {
        Allow: "GET, HEAD",
      });
    }
    const host = request.headers.get("host") ?? "";
    const origin = request.headers.get("origin");
    // A page of another site may not read this one, whatever its name.
    if (origin !== null && origin !== `http://${host}`) {
      return refusal(403, "Requests from other sites are refused");
    }
    if (request.headers.get("sec-fetch-site") === "cross-site" && !isNavigation(request)) {
      return refusal(403, "Requests from other sites are refused");
    }
    if (this.#token === undefined) {
      const name = host.replace(/:\d+$/, "").toLowerCase();
      return LOOPBACK_NAMES.includes(name)
        ? undefined
        : refusal(403, "This dashboard answers to localhost and 127.0.0.1 only");
    }
    return this.#checkToken(request, url, this.#token);
  }

  #checkToken(request: AskedOf, url: URL, token: string): Response | undefined {
    const given = url.searchParams.get("token");
    const cookie = cookieName(url);
    if (given !== null && equal(given, token)) {
      if (!isNavigation(request)) return undefined; // a program, such as Prometheus
      url.searchParams.delete("token");
      return new Response(null, {
        status: 303,
        headers: {
          Location: url.pathname + url.search,
          "Set-Cookie": `${cookie}=${token}; HttpOnly; SameSite=Strict; Path=/`,
        },
      });
    }
    const cookies = (request.headers.get("cookie") ?? "").split(/;\s*/);
    const kept = cookies.find((each) => each.startsWith(`${cookie}=`))?.slice(cookie.length + 1);
    if (kept !== undefined && equal(kept, token)) return undefined;
    const bearer = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
    if (bearer !== undefined && equal(bearer, token)) return undefined;
    return refusal(
      401,
      "Open the address with ?token=… that was printed when the dashboard started",
    );
  }
}

/** Cookies don't know ports: two dashboards of one machine must not take each other's. */
function cookieName(url: URL): string {
  return `lockstep-${url.port || "80"}`;
}

/** A person opens a page; browsers don't say `Sec-Fetch-Mode` to addresses without TLS. */
function isNavigation(request: AskedOf): boolean {
  const mode = request.headers.get("sec-fetch-mode");
  return mode === null
    ? (request.headers.get("accept") ?? "").includes("text/html")
    : mode === "navigate";
}

/** Takes the same time whatever part is right. */
function equal(given: string, token: string): boolean {
  const [a, b] = [given, token].map((text) => new TextEncoder().encode(text));
  return a.length === b.length && timingSafeEqual(a, b);
}

function refusal(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(message + "\n", {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8", ...headers },
  });
}
