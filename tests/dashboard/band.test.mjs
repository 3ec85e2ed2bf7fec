import assert from "node:assert/strict";
import { test } from "node:test";
import { bandOf, bucketCount } from "../../src/dashboard/band.js";
import { Series } from "../../src/dashboard/series.js";

const series = (points) => {
  const all = new Series();
  for (const [time, value] of points) all.add(time, value, 1000);
  return all;
};

/** The band of raw points, computed in the simplest way. */
function naiveBand(all, from, to, count) {
  const length = (to - from) / count;
  return Array.from({ length: count }, (_, i) => {
    const inside = all.map((points) => points.filter(([time]) => time >= from && time <= to && Math.min(count - 1, Math.floor((time - from) / length)) === i));
    const values = inside.flat().map(([, value]) => value);
    if (values.length === 0) return null;
    const lasts = inside.filter((points) => points.length > 0).map((points) => points.at(-1)[1]).sort((a, b) => a - b);
    const middle = lasts.length >> 1;
    const median = lasts.length % 2 === 1 ? lasts[middle] : (lasts[middle - 1] + lasts[middle]) / 2;
    return { at: from + (i + 0.5) * length, min: Math.min(...values), median, max: Math.max(...values), keys: lasts.length };
  });
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
    const [from, count] = [random(2000), 1 + random(30)];
    const to = from + 1 + random(8000);
    assert.deepEqual(bandOf(all.map(series), from, to, count), naiveBand(all, from, to, count), `round ${round}`);
  }
});

test("one key above all others is in the maximum and not in the median", () => {
  const keys = Array.from({ length: 200 }, (_, key) => series([[100, key === 77 ? 60 : 20]]));
  assert.deepEqual(bandOf(keys, 0, 1000, 1), [{ at: 500, min: 20, median: 20, max: 60, keys: 200 }]);
});

test("a median of the largest doubles stays finite", () => {
  const keys = [1, 2].map(() => series([[0, Number.MAX_VALUE]]));
  assert.equal(bandOf(keys, 0, 10, 1)[0].median, Number.MAX_VALUE);
});

test("a bucket is four pixels wide, and long enough for two values of a series", () => {
  const everySecond = series([[0, 1], [1000, 1], [2000, 1]]);
  assert.equal(bucketCount([everySecond], 0, 3_600_000, 800), 200);
  assert.equal(bucketCount([everySecond], 0, 60_000, 800), 30);
  assert.equal(bucketCount([series([[0, 1]])], 0, 60_000, 800), 200);
  assert.equal(bucketCount([everySecond], 0, 500, 800), 1);
});
