import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium, type Browser } from "playwright-core";
import { page as reportPage } from "../cli/report/page";
import { reported } from "../cli/report/report.fixture";
import { CHROMIUM_ARGUMENTS, findChromium } from "./chromium";

const executablePath = findChromium();
const inBrowser = executablePath === undefined ? describe.skip : describe;

inBrowser(`a report in a browser${executablePath === undefined ? " (skipped: no chromium on PATH)" : ""}`, () => {
  let folder: string;
  let file: string;
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "lathe-browser-"));
    file = join(folder, "report.html");
    writeFileSync(file, reportPage(reported('<script>console.log("ran")</script><img src="http://h.test/x">')));
    browser = await chromium.launch({ executablePath: executablePath!, args: CHROMIUM_ARGUMENTS });
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  it.each([
    [400, "dark"],
    [1400, "light"],
  ] as const)(
    "%d pixels wide, %s: fits, says nothing to the console and requests nothing",
    async (width, colorScheme) => {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      const said: string[] = [];
      page.on("console", (message) => said.push(message.text()));
      page.on("pageerror", ({ message }) => said.push(message));
      page.on("request", (request) => said.push(request.url()));
      await page.goto(pathToFileURL(file).href);
      for (const summary of await page.locator("summary").all()) await summary.click();
      expect(said.filter((one) => !one.startsWith("data:"))).toEqual([pathToFileURL(file).href]);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
      // A hex colour in a chart would be that of the other scheme.
      const ink = await page.evaluate('getComputedStyle(document.querySelector(".charts svg text")).fill');
      expect(ink).toBe(colorScheme === "dark" ? "rgb(232, 234, 237)" : "rgb(34, 34, 34)");
      await page.close();
    },
  );

  it("names its parts for a screen reader", async () => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(file).href);
    const named = (role: "heading" | "img" | "region" | "table") => page.getByRole(role);
    for (const heading of ["The network", "How the space shrank", "Training", "Latency", "Classes", "Predictions"])
      expect(await page.getByRole("heading", { name: heading, exact: true }).count()).toBe(1);
    const pictures = await named("img").count();
    // Seven charts, the network and a sheet.
    expect(pictures).toBe(9);
    expect(await page.getByRole("img", { name: /\S/ }).count()).toBe(pictures);
    expect(await page.getByRole("region", { name: /\S/ }).count()).toBe(await named("region").count());
    expect(await page.getByRole("rowheader", { name: "class 3" }).count()).toBe(3);
    await page.close();
  });
});
