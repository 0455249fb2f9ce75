/**
 * The faults that axe finds in a page.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly help: string;
  readonly nodes: { readonly target: unknown; readonly failureSummary: string }[];
}

/** Fails when axe finds something serious or critical on the page as it is now. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // A package's folder is only known to Deno once something of it was imported.
  await import("axe-core/package.json", { with: { type: "json" } });
  const script = await Deno.readTextFile(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")));
  await page.evaluate(script);
  const result = await page.evaluate("axe.run(document)") as { violations: Violation[] };
  const serious = result.violations.filter(({ impact }) =>
    impact === "serious" || impact === "critical"
  );
  const words = serious.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) =>
      `${id}: ${help}: ${JSON.stringify(target)} ${failureSummary}`
    )
  );
  assert.deepEqual(words, [], `${where}:\n${words.join("\n")}`);
}
