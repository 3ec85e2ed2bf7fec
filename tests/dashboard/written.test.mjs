import assert from "node:assert/strict";
import test from "node:test";
import { addSample, currentRate, mergeHistory, rateHistory, writtenTo } from "../../src/dashboard/written.js";

const every = (from, to, step, rate) => Array.from({ length: (to - from) / step + 1 }, (_, i) => ({ at: from + i * step, written: (rate * (from + i * step)) / 1000 }));

test("the samples of polls are thinned out with their age, and leave the span after 5 minutes", () => {
  let samples = [];
  for (const sample of every(0, 600_000, 2000, 3)) samples = addSample(samples, sample);
  assert.ok(samples.length <= 45, String(samples.length));
  assert.equal(samples[0].at, 290_000);
  assert.ok(rateHistory(samples).every(([, , rate]) => rate === 3));
  const spans = rateHistory(samples);
  assert.ok(spans.every(([from], i) => i === 0 || from === spans[i - 1][1]), "without a gap");
});

test("a pause between samples is a gap in the rates, not an average", () => {
  const samples = [...every(0, 30_000, 10_000, 1), ...every(90_000, 100_000, 10_000, 1)];
  assert.deepEqual(rateHistory(samples).map(([from, to]) => [from, to]), [[0, 10_000], [10_000, 20_000], [20_000, 30_000], [90_000, 100_000]]);
});

test("samples within a moment are one step", () => {
  const samples = [{ at: 0, written: 0 }, { at: 10_000, written: 100 }, { at: 10_100, written: 150 }, { at: 12_000, written: 200 }];
  assert.deepEqual(rateHistory(samples), [[0, 10_000, 10], [10_000, 12_000, 50]]);
});

test("the current rate is unknown without a recent sample before it", () => {
  assert.equal(currentRate([]), null);
  assert.equal(currentRate([{ at: 0, written: 5 }]), null);
  assert.equal(currentRate([{ at: 0, written: 0 }, { at: 60_000, written: 60 }]), null);
  assert.equal(currentRate([{ at: 0, written: 0 }, { at: 10_000, written: 50 }]), 5);
  assert.equal(currentRate([{ at: 0, written: 0 }, { at: 10_000, written: 50 }, { at: 12_000, written: 90 }]), 90 / 12);
});

test("lower offsets mean a recreated topic, whose rates start again", () => {
  const samples = addSample(every(0, 20_000, 10_000, 1), { at: 22_000, written: 3 });
  assert.deepEqual(samples, [{ at: 22_000, written: 3 }]);
});

test("the history of the bridge replaces samples, except earlier ones of the same topic", () => {
  const own = every(0, 100_000, 10_000, 1);
  const history = every(65_000, 105_000, 10_000, 1);
  assert.deepEqual(mergeHistory(own, history).map(({ at }) => at), [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 65_000, 75_000, 85_000, 95_000, 105_000]);
  assert.deepEqual(mergeHistory(own, [{ at: 110_000, written: 2 }]).map(({ at }) => at), [110_000], "a recreated topic");
  assert.deepEqual(mergeHistory(own, []), own);
});

test("the number of written records is unknown while a partition has no leader", () => {
  const topic = (...ends) => ({ partitions: ends.map((latest) => ({ latest })) });
  assert.equal(writtenTo(topic(3, 4)), 7);
  assert.equal(writtenTo(topic(3, null)), null);
  assert.equal(writtenTo(topic()), 0);
});
