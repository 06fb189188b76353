// Looks at pages with a real browser, and prints what it sees as JSON.
//
//   node look.cjs CHROMIUM URL FOLDER PAGE...
//
// Each page is opened in each setting; axe looks at it, and a picture of it goes into the folder.
"use strict";

const path = require("node:path");
const { AxeBuilder } = require("@axe-core/playwright");
const { chromium } = require("playwright-core");

const SETTINGS = [
  { name: "light", colorScheme: "light", locale: "en-US", viewport: { width: 1100, height: 860 } },
  { name: "dark", colorScheme: "dark", locale: "de-DE", viewport: { width: 1100, height: 860 } },
  { name: "phone", colorScheme: "light", locale: "de-DE", viewport: { width: 390, height: 844 } },
  // WCAG 2.2, 1.4.10: what a page of 1280 pixels is at 400 percent.
  { name: "narrow", colorScheme: "dark", locale: "en-US", viewport: { width: 320, height: 640 } },
];

async function look(context, setting, url, name, folder) {
  const page = await context.newPage();
  const messages = [];
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  page.on("requestfailed", (request) => messages.push(`${request.url()} failed`));
  await page.goto(`${url}/${name}`);
  await page.screenshot({ path: path.join(folder, `${name}-${setting.name}.png`), fullPage: true });
  const focused = await page.evaluate(() => document.activeElement.id);
  await page.evaluate(() => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  // The pages have no frames; what axe does for these takes a second a page.
  const found = await new AxeBuilder({ page }).setLegacyMode().analyze();
  const seen = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    background: getComputedStyle(document.documentElement).backgroundColor,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    small: [...document.querySelectorAll("input:not([type=hidden]), button, .button")]
      .filter((each) => each.getBoundingClientRect().height < 44).length,
  }));
  await page.close();
  return {
    page: name,
    setting: setting.name,
    focused,
    // A page that answers 401 or 503 is an error to the browser's console too.
    messages: messages.filter((text) => !/^Failed to load resource: .* status of [45]/.test(text)),
    violations: found.violations.concat(found.incomplete).map((rule) => ({
      rule: rule.id,
      where: rule.nodes.map((node) => node.target.join(" ")),
      told: rule.nodes.map((node) => node.failureSummary),
    })),
    ...seen,
  };
}

// Keyboard alone, and no JavaScript.
async function signIn(browser, url) {
  const context = await browser.newContext({ javaScriptEnabled: false, locale: "en-US" });
  const page = await context.newPage();
  await page.goto(`${url}/login`);
  await page.locator("#username:focus").waitFor();
  await page.keyboard.type("alice");
  await page.keyboard.press("Tab");
  await page.keyboard.type("correct horse");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/login$/);
  const sent = await page.locator("body").innerText();
  await context.close();
  return sent;
}

async function tabOrder(browser, url, name) {
  const context = await browser.newContext({ locale: "en-US" });
  const page = await context.newPage();
  await page.goto(`${url}/${name}`);
  const order = [];
  for (let count = 0; count < 5; count += 1) {
    order.push(await page.evaluate(() => {
      const { activeElement } = document;
      const outline = getComputedStyle(activeElement).outlineStyle;
      return `${activeElement.id || activeElement.tagName.toLowerCase()} ${outline}`;
    }));
    await page.keyboard.press("Tab");
  }
  await context.close();
  return order;
}

async function main(program, url, folder, ...names) {
  // Its sandbox does not start for root, and containers have little shared memory.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"];
  const browser = await chromium.launch({ executablePath: program, args });
  const looks = [];
  for (const setting of SETTINGS) {
    const context = await browser.newContext(setting);
    for (const name of names) {
      looks.push(await look(context, setting, url, name, folder));
    }
    await context.close();
  }
  const told = {
    looks,
    sent: await signIn(browser, url),
    order: await tabOrder(browser, url, "login-refused"),
  };
  await browser.close();
  process.stdout.write(JSON.stringify(told));
}

main(...process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
