// Draws the picture of a chart: title, range of time, the chart itself, and a legend with values.

import { createFrame, draw } from "./draw.js";
import * as format from "./format.js";

const MARGIN = 24;
const HEAD = 62;
const PLOT_HEIGHT = 420;
const ROW_HEIGHT = 22;
const COLUMNS = 3;
const SWATCH = 12;

const legendRows = ({ legend }) => Math.ceil(legend.length / COLUMNS);

export const pictureHeight = (picture) => HEAD + PLOT_HEIGHT + 16 + legendRows(picture) * ROW_HEIGHT + (picture.note ? ROW_HEIGHT : 0) + MARGIN;

/**
 * Draws a picture: `title` and `note` are texts, `from`, `to`, `range` (of values) and `theme` those of the chart, `content`
 * what `draw` needs, and `legend` has `{ key, colour, dash, summary }` for each line. Keys without a line are in the `note`.
 */
export function drawPicture(context, width, picture) {
  const { title, from, to, range, theme, content, legend, note } = picture;
  const family = theme.font.replace(/^\S+ /, "");
  const text = (words, x, y, { size = 13, weight = 400, colour = theme.strong, most = width - MARGIN - x, align = "left" } = {}) => {
    context.font = `${weight} ${size}px ${family}`;
    context.fillStyle = colour;
    context.textAlign = align;
    context.textBaseline = "alphabetic";
    context.fillText(fitted(context, words, most), x, y);
  };
  context.save();
  context.translate(MARGIN - 8, HEAD);
  draw(context, createFrame(width - 2 * MARGIN + 8, PLOT_HEIGHT, from, to, range), theme, { ...content, hover: null, selection: null });
  context.restore();
  text(title, MARGIN, 34, { size: 19, weight: 650 });
  text(`${format.timestamp(from)} to ${format.timestamp(to)} (${zone(to)})`, MARGIN, 54, { colour: theme.text });
  const columnWidth = (width - 2 * MARGIN) / COLUMNS;
  const top = HEAD + PLOT_HEIGHT + 30;
  legend.forEach(({ key, colour, dash, summary }, i) => {
    const x = MARGIN + (i % COLUMNS) * columnWidth;
    const y = top + Math.floor(i / COLUMNS) * ROW_HEIGHT;
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, y - 4);
    context.lineTo(x + 2 * SWATCH, y - 4);
    context.stroke();
    context.setLineDash([]);
    const values = summary ? `${format.short(summary.current)} (${format.short(summary.min)} to ${format.short(summary.max)})` : "no values";
    const valuesRight = x + columnWidth - 20;
    text(values, valuesRight, y, { align: "right", most: columnWidth / 2 });
    text(key, x + 2 * SWATCH + 8, y, { weight: 600, most: valuesRight - context.measureText(values).width - x - 2 * SWATCH - 20 });
  });
  if (note) text(note, MARGIN, top + legendRows(picture) * ROW_HEIGHT, { colour: theme.text });
  // The chart clears its area, so the background comes last.
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = theme.card;
  context.fillRect(0, 0, width, pictureHeight(picture));
  context.globalCompositeOperation = "source-over";
}

/** Returns the time zone of this page at a time: UTC+01:00. */
function zone(time) {
  const minutes = -new Date(time).getTimezoneOffset();
  const pad = (number) => String(number).padStart(2, "0");
  const size = Math.abs(minutes);
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** Returns the text, shortened to a width in pixels. */
function fitted(context, words, most) {
  if (context.measureText(words).width <= most) return words;
  let [low, high] = [0, words.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${words.slice(0, middle)}…`).width <= most) low = middle;
    else high = middle - 1;
  }
  return `${words.slice(0, low)}…`;
}
