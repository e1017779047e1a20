import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import sharp from "sharp";
import { LatheError } from "../shared/process/errors";
import { packageRoot } from "../shared/process/root";
import { CHROMIUM_ARGUMENTS, findChromium } from "./chromium";

const usage = "npm run screenshots -- <result folder>";

/** The pictures of docs/images: part of a report, from a heading on, at a width and in a colour scheme. */
const shots = [
  { name: "report-light.png", width: 1400, height: 1250, colorScheme: "light", from: "#network" },
  { name: "report-dark.png", width: 400, height: 1250, colorScheme: "dark", from: "h1" },
  { name: "report-data.png", width: 900, height: 940, colorScheme: "light", from: "#data" },
] as const;

/** Photographs the report of a result folder for the documentation. */
async function main([given]: string[]): Promise<void> {
  if (given === undefined) throw new LatheError("INVALID_ARGUMENT", `no result folder is given: ${usage}`);
  const executablePath = findChromium();
  if (executablePath === undefined)
    throw new LatheError("FAILED_PRECONDITION", "no chromium is on PATH; on Debian: apt-get install chromium");
  const report = pathToFileURL(join(resolve(process.env.INIT_CWD ?? ".", given), "report.html")).href;
  const target = join(packageRoot(), "docs", "images");
  mkdirSync(target, { recursive: true });
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGUMENTS });
  try {
    for (const { name, width, height, colorScheme, from } of shots) {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme });
      await page.goto(report);
      await page.evaluate(`document.querySelector("${from}").scrollIntoView()`);
      const png = await page.screenshot();
      // A palette keeps the file small.
      await sharp(png).png({ palette: true, colours: 128 }).toFile(join(target, name));
      console.log(join(target, name));
    }
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((thrown: unknown) => {
  console.error(`screenshots: ${LatheError.from(thrown).message}`);
  process.exitCode = 1;
});
