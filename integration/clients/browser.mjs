// Drives Chromium for the tests: reads one JSON command per line from stdin, writes one response per line to stdout, in
// order. It records the errors of each page, including violations of its Content-Security-Policy.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.CURLEW_CACHE + "/node/");
const puppeteer = require("puppeteer-core");
const axe = require("axe-core");
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  // The browser exits when the pipe closes, even if this process is killed.
  pipe: true,
  // The test certificates are self-signed; the tests with curl and Node verify them.
  args: ["--ignore-certificate-errors", "--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"],
});
const pages = new Map();

const commands = {
  async open({ page: name, url, width, height, media }) {
    const page = await browser.newPage();
    const complaints = [];
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      const text = message.text();
      // An unreachable server is not an error of the page.
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) complaints.push(text);
    });
    pages.set(name, { page, complaints, requests });
    await page.setViewport({ width: width ?? 1280, height: height ?? 800 });
    if (media) await page.emulateMediaFeatures(media);
    await page.goto(url);
  },
  eval: ({ page, script }) => pages.get(page).page.evaluate(script),
  complaints: ({ page }) => pages.get(page).complaints,
  requests: ({ page }) => pages.get(page).requests,
  front: ({ page }) => pages.get(page).page.bringToFront(),
  async axe({ page: name }) {
    const { page } = pages.get(name);
    // Runs in an isolated world, which the page's Content-Security-Policy does not cover.
    await page.mainFrame().isolatedRealm().evaluate(axe.source);
    const { violations } = await page.mainFrame().isolatedRealm().evaluate("axe.run()");
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
  },
  async screenshot({ page, path }) {
    await pages.get(page).page.screenshot({ path });
  },
  async close({ page }) {
    await pages.get(page).page.close();
    pages.delete(page);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let response;
  try {
    response = { ok: (await commands[command.do](command)) ?? null };
  } catch (error) {
    response = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(response) + "\n");
}
await browser.close();
