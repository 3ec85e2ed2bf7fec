// Files with what the charts show: a link to the points as CSV, and a picture of a chart as PNG.

import { endpoint } from "./base.js";
import { el } from "./dom.js";
import { drawPicture, pictureHeight } from "./picture.js";
import { questionUrl } from "./question.js";

const PICTURE_WIDTH = 1200;
/** Pixels of the picture per pixel of its layout, so that its text is sharp on any screen. */
const PICTURE_SCALE = 2;

/** Returns the URL of the points between two times as CSV: the same question and step, so the same points. */
export function csvPath(topic, question, { from, to, step }) {
  const absolute = { ...question, from: String(Math.floor(from)), to: String(Math.ceil(to)), step: `${step}ms` };
  return `${questionUrl(topic, absolute)}&format=csv`;
}

/** Returns a name for a file, with the characters that all file systems accept. */
export function fileName(parts, time, extension) {
  const clean = (text) => text.normalize("NFKD").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|-+$/g, "");
  const stamp = new Date(time).toISOString().slice(0, 19).replaceAll(":", "");
  return [...parts.map(clean).filter(Boolean).map((part) => part.slice(0, 80)), stamp].join("_") + extension;
}

/** Returns a link that downloads the points of all charts of a topic. `view` has `feed`, `from` and `to`. */
export function csvLink(view) {
  const link = el("a", { class: "button", hidden: true, title: "The points of these charts as a table" }, "CSV");
  const update = () => {
    const { feed, from, to } = view;
    link.hidden = !feed || feed.step === null || !(to > from);
    if (link.hidden) return;
    link.href = endpoint(csvPath(feed.topic, feed.question, { from, to, step: feed.step }));
    link.download = fileName([feed.topic], from, ".csv");
  };
  // The window may have moved since the last update.
  for (const type of ["click", "pointerdown", "focus"]) link.addEventListener(type, update);
  return { element: link, update };
}

/** Downloads the picture of a chart: see `drawPicture`. */
export async function savePicture(picture, name) {
  const canvas = el("canvas", { width: PICTURE_WIDTH * PICTURE_SCALE, height: pictureHeight(picture) * PICTURE_SCALE });
  const context = canvas.getContext("2d");
  context.scale(PICTURE_SCALE, PICTURE_SCALE);
  drawPicture(context, PICTURE_WIDTH, picture);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const href = URL.createObjectURL(blob);
  el("a", { href, download: name }).click();
  // The download has begun before the URL is revoked.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
