// A time zone whose offset is not a whole number of hours.
process.env.TZ = "Asia/Kolkata";

import assert from "node:assert/strict";
import { test } from "node:test";
import { Scale, padded, ticks, timeTicks } from "../../src/dashboard/scale.js";

const MAX = Number.MAX_VALUE;

test("a scale maps its ends to the ends of the axis, and back", () => {
  const scale = new Scale(10, 20, 100, 0);
  assert.deepEqual([10, 15, 20].map((value) => scale.toPixel(value)), [100, 50, 0]);
  assert.deepEqual([100, 50, 0].map((pixel) => scale.toValue(pixel)), [10, 15, 20]);
});

test("a scale extends beyond its ends", () => {
  const scale = new Scale(0, 10, 0, 100);
  assert.equal(scale.toPixel(-1), -10);
  assert.equal(scale.toValue(110), 11);
});

test("a range larger than the largest double stays finite", () => {
  const scale = new Scale(-MAX, MAX, 0, 200);
  assert.equal(scale.toPixel(0), 100);
  assert.equal(scale.toPixel(MAX), 200);
  assert.equal(scale.toValue(100), 0);
});

test("padding adds a margin on both sides", () => {
  assert.deepEqual(padded(0, 100), [-8, 108]);
});

test("padding makes a range of one value, also of zero", () => {
  assert.deepEqual(padded(50, 50), [45, 55]);
  assert.deepEqual(padded(-50, -50), [-55, -45]);
  assert.deepEqual(padded(0, 0), [-1, 1]);
});

test("padding stays within finite numbers", () => {
  assert.deepEqual(padded(-MAX, MAX), [-MAX, MAX]);
  assert.deepEqual(padded(MAX, MAX), [MAX - MAX * 0.1, MAX]);
});

test("ticks are multiples of 1, 2 or 5", () => {
  assert.deepEqual(ticks(0, 100, 5).values, [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(0, 10, 10).values, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(ticks(-7, 7, 3).values, [-5, 0, 5]);
  // A step of 50 would leave two ticks.
  assert.deepEqual(ticks(-21, 83, 4).values, [-20, 0, 20, 40, 60, 80]);
});

test("ticks lie inside the range", () => {
  for (const [low, high] of [[0.1, 0.9], [-3, 1e6], [99, 101], [1e-9, 3e-9], [-1e300, 1e300], [-MAX, MAX]]) {
    const { values } = ticks(low, high, 5);
    assert.ok(values.length >= 2 && values.length <= 20, `${low} to ${high}: ${values}`);
    assert.ok(values.every((value) => value >= low && value <= high), `${low} to ${high}: ${values}`);
  }
});

test("ticks of an empty, reversed or invalid range are empty", () => {
  assert.deepEqual(ticks(5, 5, 5).values, []);
  assert.deepEqual(ticks(6, 5, 5).values, []);
  assert.deepEqual(ticks(NaN, 5, 5).values, []);
});

test("time ticks are round in local time", () => {
  const from = new Date(2026, 0, 31, 8, 10).getTime();
  const { values } = timeTicks(from, from + 3 * 3_600_000, 4);
  const clock = values.map((at) => `${new Date(at).getHours()}:${String(new Date(at).getMinutes()).padStart(2, "0")}`);
  assert.equal(new Date(from).getTimezoneOffset(), -330);
  assert.deepEqual(clock, ["9:00", "10:00", "11:00"]);
});

test("the time ticks of six hours are at every hour", () => {
  const from = new Date(2026, 0, 31, 8, 10).getTime();
  const { values, step } = timeTicks(from, from + 6 * 3_600_000, 5);
  assert.deepEqual([values.length, step], [6, 3_600_000]);
});

test("time ticks include both ends of the window", () => {
  const from = new Date(2026, 0, 31, 8, 0).getTime();
  assert.deepEqual(timeTicks(from, from + 60_000, 2).values, [from, from + 30_000, from + 60_000]);
});

test("time ticks of days are at midnight in local time", () => {
  const from = new Date(2026, 0, 31, 9, 10).getTime();
  const { values, step } = timeTicks(from, from + 7 * 86_400_000, 4);
  assert.equal(step, 2 * 86_400_000);
  assert.ok(values.every((at) => new Date(at).getHours() === 0), `${values.map((at) => new Date(at))}`);
});

test("time ticks of centuries are few", () => {
  assert.ok(timeTicks(0, 8e14, 4).values.length <= 100);
});
