import assert from "node:assert/strict";
import { test } from "node:test";
import { bandOf, bucketLength } from "../../src/dashboard/band.js";
import { Series } from "../../src/dashboard/series.js";

const series = (points) => {
  const all = new Series();
  all.merge(points.map(([time, value]) => [time, value, value, value, 1]), 1);
  return all;
};

/** The band of raw points, computed in the simplest way. */
function naiveBand(all, from, to, length) {
  const band = [];
  for (let start = Math.floor(from / length) * length; start <= to; start += length) {
    const inside = all.map((points) => points.filter(([time]) => time >= Math.max(from, start) && time <= to && time < start + length));
    const values = inside.flat().map(([, value]) => value);
    const lasts = inside.filter((points) => points.length > 0).map((points) => points.at(-1)[1]).sort((a, b) => a - b);
    const middle = lasts.length >> 1;
    const median = lasts.length % 2 === 1 ? lasts[middle] : (lasts[middle - 1] + lasts[middle]) / 2;
    band.push(values.length === 0 ? null : { at: start + length / 2, min: Math.min(...values), median, max: Math.max(...values), keys: lasts.length });
  }
  return band;
}

test("a band has the minimum, the median and the maximum of every bucket", () => {
  // A linear congruential generator, so that a failure can be repeated.
  let state = 1;
  const random = (most) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % most;
  for (let round = 0; round < 50; round += 1) {
    const all = Array.from({ length: 1 + random(40) }, () => {
      let time = random(500);
      return Array.from({ length: random(60) }, () => [(time += 1 + random(200)), random(1000) - 500]);
    });
    const [from, length] = [random(2000), 1 + random(900)];
    const to = from + 1 + random(8000);
    assert.deepEqual(bandOf(all.map(series), from, to, length), naiveBand(all, from, to, length), `round ${round}`);
  }
});

test("one key above all others is in the maximum and not in the median", () => {
  const keys = Array.from({ length: 200 }, (_, key) => series([[100, key === 77 ? 60 : 20]]));
  assert.deepEqual(bandOf(keys, 0, 999, 1000), [{ at: 500, min: 20, median: 20, max: 60, keys: 200 }]);
});

test("a median of the largest doubles stays finite", () => {
  const keys = [1, 2].map(() => series([[0, Number.MAX_VALUE]]));
  assert.equal(bandOf(keys, 0, 9, 10)[0].median, Number.MAX_VALUE);
});

test("a bucket is four pixels wide, a multiple of the step, and long enough for a value of most series", () => {
  const everySecond = series([[0, 1], [1000, 1], [2000, 1]]);
  assert.equal(bucketLength([everySecond], 1000, 0, 3_600_000, 800), 18_000);
  assert.equal(bucketLength([everySecond], 10_000, 0, 3_600_000, 800), 20_000);
  assert.equal(bucketLength([everySecond], 200, 0, 60_000, 800), 1000);
  assert.equal(bucketLength([series([[0, 1]])], 200, 0, 60_000, 800), 400);
  assert.equal(bucketLength([everySecond], 100, 0, 500, 800), 1000);
});

test("buckets stay where they are while the window moves", () => {
  const keys = [series([[0, 1], [1000, 2], [2000, 3], [3000, 4]])];
  const at = (from, to) => bandOf(keys, from, to, 2000).map((bucket) => bucket?.at);
  assert.deepEqual(at(0, 3500), [1000, 3000]);
  assert.deepEqual(at(900, 3900), [1000, 3000]);
});
