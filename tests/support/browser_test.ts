import { equal, match, rejects } from "node:assert/strict";
import { browserTest, withPage } from "./browser.ts";

browserTest("withPage() opens a page as it is asked to", async () => {
  await withPage({ colorScheme: "dark", width: 400, height: 300, scale: 2 }, async (page) => {
    await page.setContent("<h1>Hello</h1>");
    equal(await page.textContent("h1"), "Hello");
    const seen = await page.evaluate(
      "[matchMedia('(prefers-color-scheme: dark)').matches, innerWidth, innerHeight, devicePixelRatio]",
    );
    equal(JSON.stringify(seen), "[true,400,300,2]");
  });
});

browserTest(
  "withPage() fails when the page throws, logs an error or leaves this machine",
  async () => {
    const page =
      "<script>console.error('logged'); setTimeout(() => { throw new Error('thrown') })" +
      "</script><img src='http://192.0.2.1/a.png'>";
    const error = await failure({}, page);
    match(error, /logged an error: logged/);
    match(error, /threw: Error: thrown/);
    match(error, /asked another machine: http:\/\/192\.0\.2\.1\/a\.png/);
    match(await failure({ allowErrors: true }, page), /^The page asked another machine: \S+$/);
  },
);

async function failure(options: Parameters<typeof withPage>[0], html: string): Promise<string> {
  let message = "";
  await rejects(
    withPage(options, async (page) => {
      const heard = Promise.all([
        page.waitForEvent("pageerror"),
        page.waitForEvent("request", (request) => request.url().includes("192.0.2.1")),
      ]);
      await page.setContent(html, { waitUntil: "commit" });
      await heard;
    }),
    (error: Error) => {
      message = error.message;
      return true;
    },
  );
  return message;
}
