// Opens the camera's page in a real browser whose camera is a moving test picture; says what the page shows.
// node camera.mjs CHROMIUM URL FRAMES [SCREENSHOT]
import { chromium } from "playwright-core";

const [executablePath, url, frames, screenshot] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const browser = await chromium.launch({ executablePath, args: [...quiet, ...camera] });
try {
  const page = await (await browser.newContext({ permissions: ["camera"] })).newPage();
  const asked = [], said = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(url);
  await page.click("#start");
  const isOver = (wanted) => Number(document.querySelector("#answered").textContent) >= wanted
    || (!document.querySelector("#start").disabled && document.querySelector("#said").textContent !== "");
  await page.waitForFunction(isOver, Number(frames), { timeout: 60_000 });
  const shown = await page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const spread = (source, width, height) => {  // how far red, green and blue are apart at most
      const copy = document.createElement("canvas");
      [copy.width, copy.height] = [width, height];
      const context = copy.getContext("2d");
      context.drawImage(source, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      let widest = 0, brightest = 0;
      for (let i = 0; i < data.length; i += 4) {
        widest = Math.max(widest, Math.abs(data[i] - data[i + 1]), Math.abs(data[i + 1] - data[i + 2]));
        brightest = Math.max(brightest, data[i]);
      }
      return { width, height, widest, brightest };
    };
    const video = document.getElementById("camera"), picture = document.getElementById("picture");
    return {
      rate: text("rate"), trip: text("trip"), answered: text("answered"), refused: text("refused"), said: text("said"), text: text("text"),
      location: location.href,
      sent: video.videoWidth ? spread(video, video.videoWidth, video.videoHeight) : null,
      back: spread(picture, picture.width, picture.height),
    };
  });
  if (screenshot) await page.screenshot({ path: screenshot });
  await page.evaluate(() => document.getElementById("stop").click());
  console.log(JSON.stringify({ ...shown, asked: [...new Set(asked.map((one) => one.split("#")[0]))], log: said }));
} finally {
  await browser.close();
}
