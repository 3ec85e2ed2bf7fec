import assert from "node:assert/strict";
import { test } from "node:test";
import { Series } from "../../src/dashboard/series.js";

/** A series with one value per second: `values[n]` at `start + n` seconds. */
function everySecond(values, start = 0) {
  const series = new Series();
  series.merge(values.map((value, n) => [(start + n) * 1000, value, value, value, 1]), 1000);
  return series;
}

const column = (series, name) => [...series[name].slice(0, series.length)];

test("an empty series has no summary and no nearest point", () => {
  const series = new Series();
  series.merge([], 1000);
  series.dropBefore(1e9);
  assert.equal(series.summary(-Infinity, Infinity), null);
  assert.equal(series.nearest(0, 1e9), null);
  assert.equal(series.indexAt(0), 0);
});

test("a summary has the last value, the extremes and the count of the steps that begin in the window", () => {
  const series = new Series();
  series.merge([[0, 1, 9, 5, 4], [1000, 3, 4, 3, 2], [2000, -3, 8, 7, 10]], 1000);
  assert.deepEqual(series.summary(0, 5000), { current: 7, min: -3, max: 9, count: 16 });
  assert.deepEqual(series.summary(1, 1000), { current: 3, min: 3, max: 4, count: 2 });
  assert.equal(series.summary(2001, 9000), null);
});

test("points with equal times are replaced and others are inserted", () => {
  // A linear congruential generator, so that a failure can be repeated.
  let state = 7;
  const random = (most) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % most;
  for (let round = 0; round < 50; round += 1) {
    const series = new Series();
    const expected = new Map();
    for (let merge = 0; merge < 20; merge += 1) {
      const times = [...new Set(Array.from({ length: random(30) }, () => random(200) * 500))].sort((a, b) => a - b);
      const points = times.map((time) => [time, random(10), 10 + random(10), random(20), 1 + random(9)]);
      points.forEach((point) => expected.set(point[0], point));
      series.merge(points, 500);
      const sorted = [...expected.values()].sort((a, b) => a[0] - b[0]);
      ["start", "min", "max", "last", "count"].forEach((name, i) => assert.deepEqual(column(series, name), sorted.map((point) => point[i]), `round ${round}`));
      assert.deepEqual(column(series, "end"), sorted.map(([time]) => time + 500));
    }
  }
});

test("old points are dropped by the time at which they begin", () => {
  const series = everySecond([1, 2, 3, 4]);
  series.dropBefore(1500);
  assert.deepEqual(column(series, "last"), [3, 4]);
  series.merge([[4000, 5, 5, 5, 1]], 1000);
  assert.deepEqual(column(series, "last"), [3, 4, 5]);
  series.dropBefore(1e9);
  assert.equal(series.length, 0);
});

test("a series with values in every step breaks at each missing one", () => {
  const series = new Series();
  series.merge([0, 1, 2, 4, 5].map((minute) => [minute * 60_000, 1, 2, 1, 60]), 60_000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 1, 0]);
});

test("a value every second, of which one fell into the next step, is not a gap", () => {
  const series = new Series();
  series.merge([0, 1, 3, 4, 5, 60].map((second) => [second * 1000, 1, 1, 1, 1]), 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 0, 0, 1]);
});

test("the length of a gap depends on the usual interval", () => {
  // One value per minute: a pause of two minutes is normal, one of ten minutes is a gap.
  const series = new Series();
  let time = 0;
  series.merge([0, 1, 1, 1, 2, 10, 1].map((minutes) => [(time += minutes * 60_000), 1, 1, 1, 1]), 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 0, 0, 1, 0]);
  assert.equal(series.interval, 60_000);
});

test("a gap that is read later joins the line", () => {
  const series = everySecond([1, 2, 3]);
  series.merge([[20_000, 4, 4, 4, 1]], 1000);
  assert.deepEqual(column(series, "broken"), [0, 0, 0, 1]);
  series.merge(Array.from({ length: 17 }, (_, i) => [(3 + i) * 1000, 5, 5, 5, 1]), 1000);
  assert.ok(column(series, "broken").every((broken) => broken === 0));
});

test("after old points are dropped, the first one is not a break", () => {
  const series = everySecond([1, 2, 3]);
  series.merge([[60_000, 4, 4, 4, 1]], 1000);
  series.dropBefore(30_000);
  assert.deepEqual(column(series, "broken"), [0]);
});

test("the nearest point is the closer one within the distance", () => {
  const series = new Series();
  series.merge([[0, 1, 1, 1, 1], [10_000, 2, 2, 2, 1]], 1000);
  assert.equal(series.nearest(500, 0), 0);
  assert.equal(series.nearest(5000, 4000), 0);
  assert.equal(series.nearest(6000, 4000), 1);
  assert.equal(series.nearest(-500, 499), null);
  assert.equal(series.nearest(-500, 500), 0);
  assert.equal(series.nearest(20_000, 1000), null);
});

test("a device that changes its interval has no gap", () => {
  const times = [...Array.from({ length: 30 }, (_, i) => i * 5000), ...Array.from({ length: 200 }, (_, i) => 150_000 + i * 1000)];
  const series = new Series();
  series.merge(times.map((time) => [time, 1, 1, 1, 1]), 1000);
  assert.ok(column(series, "broken").every((broken) => broken === 0));
});

test("gaps are the same whether the points arrive at once or one after the other", () => {
  let state = 11;
  const random = (most) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % most;
  for (let round = 0; round < 20; round += 1) {
    let time = 0;
    const points = Array.from({ length: 120 }, () => [(time += [1, 1, 1, 2, 5, 30][random(6)] * 1000), 1, 1, 1, 1]);
    const [atOnce, live] = [new Series(), new Series()];
    atOnce.merge(points, 1000);
    points.forEach((point) => live.merge([point], 1000));
    assert.deepEqual(column(live, "broken"), column(atOnce, "broken"), `round ${round}`);
  }
});
