import assert from "node:assert/strict";
import { test } from "node:test";
import { Series } from "../../src/dashboard/series.js";

/** A series with one value per second: `values[n]` at `start + n` seconds. */
function everySecond(values, maxPoints = 1000, start = 0) {
  const series = new Series();
  values.forEach((value, n) => series.add((start + n) * 1000, value, maxPoints));
  return series;
}

const column = (series, name) => [...series[name].slice(0, series.length)];

test("an empty series has no summary and no nearest point", () => {
  const series = new Series();
  assert.equal(series.summary(-Infinity, Infinity), null);
  assert.equal(series.nearest(0, 1e9), null);
  assert.equal(series.indexAt(0), 0);
});

test("a summary has the last value and the extremes within the window, both ends included", () => {
  const series = everySecond([5, 9, -3, 7, 100]);
  assert.deepEqual(series.summary(1000, 3000), { current: 7, min: -3, max: 9 });
  assert.deepEqual(series.summary(2000, 2000), { current: -3, min: -3, max: -3 });
  assert.equal(series.summary(1001, 1999), null);
  assert.equal(series.summary(4001, 9000), null);
});

test("records out of order are sorted by time", () => {
  const series = new Series();
  for (const time of [3000, 1000, 2000, 0]) series.add(time, time / 1000, 1000);
  assert.deepEqual(column(series, "start"), [0, 1000, 2000, 3000]);
  assert.deepEqual(column(series, "last"), [0, 1, 2, 3]);
});

test("records with equal times keep their order of arrival", () => {
  const series = new Series();
  [1, 2, 3].forEach((value) => series.add(1000, value, 1000));
  assert.deepEqual(column(series, "last"), [1, 2, 3]);
  assert.deepEqual(series.summary(1000, 1000), { current: 3, min: 1, max: 3 });
});

test("a series that grows past its capacity keeps every point", () => {
  const series = everySecond(Array.from({ length: 1000 }, (_, n) => n));
  assert.equal(series.length, 1000);
  assert.deepEqual(column(series, "first"), Array.from({ length: 1000 }, (_, n) => n));
});

test("a series never exceeds its limit and keeps first and last time and extremes", () => {
  const values = Array.from({ length: 20_000 }, (_, n) => (n === 4321 ? 1e6 : n === 15_432 ? -1e6 : Math.sin(n)));
  const series = everySecond(values, 500);
  assert.ok(series.length >= 250 && series.length <= 500, `${series.length} points`);
  assert.equal(Math.max(...column(series, "max")), 1e6);
  assert.equal(Math.min(...column(series, "min")), -1e6);
  assert.deepEqual([series.start[0], series.end[series.length - 1]], [0, 19_999_000]);
});

test("merged points keep the first and the last value of their span", () => {
  const series = everySecond([1, 5, 2, 8, 3, 4, 6, 7], 8);
  series.add(8000, 9, 8);
  // The older half (four points) became two.
  assert.deepEqual(column(series, "start"), [0, 2000, 4000, 5000, 6000, 7000, 8000]);
  assert.deepEqual(column(series, "end"), [1000, 3000, 4000, 5000, 6000, 7000, 8000]);
  assert.deepEqual([series.first[0], series.last[0], series.min[0], series.max[0]], [1, 5, 1, 5]);
  assert.deepEqual([series.first[1], series.last[1], series.min[1], series.max[1]], [2, 8, 2, 8]);
});

test("a long silence breaks the line once, and a short one does not", () => {
  const series = everySecond([1, 1, 1, 1]);
  series.add(3000 + 2900, 2, 1000);
  series.add(5900 + 60_000, 3, 1000);
  series.add(65_900 + 1000, 4, 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 0, 0, 1, 0]);
});

test("the length of a gap depends on the usual interval", () => {
  // One value per minute: a pause of two minutes is normal, one of ten minutes is a gap.
  const series = new Series();
  let time = 0;
  for (const minutes of [0, 1, 1, 1, 2, 10, 1]) series.add((time += minutes * 60_000), 1, 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 0, 0, 1, 0]);
});

test("a requested break applies to the next point only", () => {
  const series = everySecond([1, 2]);
  series.breakNext();
  series.add(2000, 3, 1000);
  series.add(3000, 4, 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 1, 0]);
});

test("points are not merged across a gap", () => {
  const series = everySecond([1, 2, 3]);
  series.breakNext();
  [4, 5, 6, 7, 8].forEach((value, n) => series.add(3000 + n * 1000, value, 8));
  series.add(8000, 9, 8);
  // The first pair is merged, and the third point stays alone before the gap.
  assert.deepEqual(column(series, "start"), [0, 2000, 3000, 4000, 5000, 6000, 7000, 8000]);
  assert.deepEqual(column(series, "broken"), [0, 0, 1, 0, 0, 0, 0, 0]);
  assert.equal(series.end[0], 1000);
});

test("the nearest point is the closer one within the distance", () => {
  const series = everySecond([1, 2, 3]);
  assert.equal(series.nearest(1400, 1000), 1);
  assert.equal(series.nearest(1600, 1000), 2);
  assert.equal(series.nearest(1500, 1000), 1);
  assert.equal(series.nearest(-500, 499), null);
  assert.equal(series.nearest(-500, 500), 0);
  assert.equal(series.nearest(9000, 1000), null);
});

test("a time inside a merged point has distance zero", () => {
  const series = everySecond([1, 2, 3, 4, 5, 6, 7, 8], 8);
  series.add(8000, 9, 8);
  assert.equal(series.nearest(500, 0), 0);
});
