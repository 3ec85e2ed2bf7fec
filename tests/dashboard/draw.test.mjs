import assert from "node:assert/strict";
import { test } from "node:test";
import { createFrame, lineSegments, valueLabels } from "../../src/dashboard/draw.js";
import { Series } from "../../src/dashboard/series.js";

const series = (points) => {
  const all = new Series();
  // Points without a length are drawn at their time.
  all.merge(points.map(([time, value]) => [time, value, value, value, 1]), 0);
  return all;
};
/** A frame whose pixels are easy to compare: 1000 ms are 100 pixels. */
const frame = (from, to) => ({ ...createFrame(1066, 332, from, to, [0, 100]), x: { toPixel: (time) => (time - from) / 10 } });
const xs = (segments) => segments.map((segment) => segment.filter((_, i) => i % 2 === 0));

test("the labels of an axis differ", () => {
  for (const [low, high] of [[12_571_953_750, 12_571_953_760], [0, 1e-9], [99.99, 100.01], [1e15, 1e15 + 2], [-1e300, 1e300]]) {
    const texts = valueLabels(low, high, 5).map(([, text]) => text);
    assert.ok(texts.length >= 2, `${low} to ${high}: ${texts}`);
    assert.equal(new Set(texts).size, texts.length, `${low} to ${high}: ${texts}`);
  }
});

test("long labels get more space", () => {
  const left = (range) => createFrame(800, 300, 0, 1000, range).left;
  assert.equal(left([0, 100]), 56);
  assert.ok(left([12_571_953_750, 12_571_953_760]) > 90);
});

test("a line begins with the first point in the window", () => {
  const line = series([[0, 1], [1000, 2], [2000, 3], [3000, 4]]);
  assert.deepEqual(xs(lineSegments(line, frame(1500, 2500))), [[50]]);
});

test("a line ends with the last point in the window", () => {
  const line = series([[0, 1], [1000, 2], [2000, 3]]);
  assert.deepEqual(xs(lineSegments(line, frame(0, 1500))), [[0, 100]]);
});

test("a silence breaks the line", () => {
  const line = series([[0, 1], [1000, 2], [2000, 3], [60_000, 4], [61_000, 5]]);
  assert.deepEqual(xs(lineSegments(line, frame(0, 70_000))), [[0, 100, 200], [6000, 6100]]);
});

test("a pixel column keeps its first, least, greatest and last value", () => {
  const line = series([[0, 50], [0.5, 0], [1, 100], [1.5, 40]]);
  const [segment] = lineSegments(line, frame(0, 1000));
  const { y } = frame(0, 1000);
  assert.deepEqual(segment.filter((_, i) => i % 2 === 1), [50, 0, 100, 40].map((value) => y.toPixel(value)));
});

test("a point is in the middle of its step, with its minimum and maximum", () => {
  const line = new Series();
  line.merge([[0, 10, 90, 20, 60], [1000, 5, 5, 5, 60]], 1000);
  const [segment] = lineSegments(line, frame(0, 2000));
  const { y } = frame(0, 2000);
  assert.deepEqual(segment, [50, y.toPixel(20), 50, y.toPixel(10), 50, y.toPixel(90), 50, y.toPixel(20), 150, y.toPixel(5)]);
});

test("a line goes out of its way only to extremes that it does not cross", () => {
  const line = new Series();
  line.merge([[0, 10, 10, 10, 1], [1000, 11, 20, 20, 9], [2000, 15, 35, 30, 9]], 1000);
  const [segment] = lineSegments(line, frame(0, 3000));
  const { y } = frame(0, 3000);
  assert.deepEqual(segment, [50, y.toPixel(10), 150, y.toPixel(20), 250, y.toPixel(30), 250, y.toPixel(15), 250, y.toPixel(35), 250, y.toPixel(30)]);
});
