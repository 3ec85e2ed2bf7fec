import assert from "node:assert/strict";
import { test } from "node:test";
import { rateOf } from "../../src/dashboard/rate.js";
import { Series } from "../../src/dashboard/series.js";

/** Returns the series of `[second, last]` or `[second, min, max, last]` with steps of a second. */
function counter(points) {
  const series = new Series();
  series.merge(points.map(([second, ...values]) => [second * 1000, values[0], values.at(-2) ?? values[0], values.at(-1), 1]), 1000);
  return series;
}
const rates = (points) => {
  const series = rateOf(counter(points));
  return Array.from({ length: series.length }, (_, i) => [series.start[i] / 1000, series.last[i], series.broken[i]]);
};

for (const [name, points, expected] of [
  ["a rate is the increase per second since the previous point", [[0, 10], [1, 12], [3, 18]], [[1, 2, 0], [3, 3, 0]]],
  ["a counter that stands still has the rate 0", [[0, 10], [1, 10]], [[1, 0, 0]]],
  ["one point has no rate", [[0, 10]], []],
  ["an empty counter has no rate", [], []],
  ["a reset is a break and not a negative rate", [[0, 10], [1, 12], [2, 1], [3, 4]], [[1, 2, 0], [3, 3, 1]]],
  ["a reset within a step is a break", [[0, 10], [1, 12], [2, 0, 30, 30], [3, 32]], [[1, 2, 0], [3, 2, 1]]],
  ["a reset after the growth of a step is a break", [[0, 10], [1, 11, 20, 15], [2, 16]], [[2, 1, 0]]],
  ["a gap has no rate", [[0, 0], [1, 1], [2, 2], [60, 100], [61, 101]], [[1, 1, 0], [2, 1, 0], [61, 1, 1]]],
]) {
  test(name, () => assert.deepEqual(rates(points), expected));
}

test("rates follow the counter when it changes", () => {
  const series = counter([[0, 10], [1, 12]]);
  const before = rateOf(series);
  assert.equal(rateOf(series), before);
  series.merge([[1000, 12, 15, 15, 2], [2000, 16, 16, 16, 1]], 1000);
  assert.deepEqual([...rateOf(series).last.slice(0, 2)], [5, 1]);
  series.dropBefore(1000);
  assert.deepEqual([...rateOf(series).last.slice(0, rateOf(series).length)], [1]);
});
