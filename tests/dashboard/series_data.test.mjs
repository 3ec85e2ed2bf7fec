import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_POINTS, SeriesData } from "../../src/dashboard/series_data.js";

const message = (parts) => ({
  from: 0, to: 60_000, step: 1000, complete_from: 0, complete_to: 60_000, series: [], omitted: { series: 0, records: 0, reasons: {} }, ...parts,
});
const points = (from, to) => Array.from({ length: to - from }, (_, i) => [(from + i) * 1000, i, i, i, 1]);
const one = (by, points, field = "value.temperature") => ({ field, by, points });
const starts = (data, field, key) => { const series = data.fields.get(field).get(key); return [...series.start.slice(0, series.length)]; };

test("the first message is the whole window, and updates add to it", () => {
  const data = new SeriesData();
  data.apply(message({ series: [one("a", points(0, 3)), one(null, points(0, 1))] }), false);
  data.apply(message({ series: [one("a", points(2, 5)), one("b", points(4, 5))] }), true);
  assert.deepEqual([...data.fields.get("temperature").keys()], ["a", "(no key)", "b"]);
  assert.deepEqual(starts(data, "temperature", "a"), [0, 1000, 2000, 3000, 4000]);
  assert.equal(data.points, 7);
});

test("another first message replaces everything", () => {
  const data = new SeriesData();
  data.apply(message({ series: [one("a", points(0, 3)), one("b", points(0, 3))] }), false);
  const keys = data.fields.get("temperature");
  data.apply(message({ series: [one("a", points(1, 2))] }), false);
  assert.equal(data.fields.get("temperature"), keys, "charts keep their map");
  assert.deepEqual([...keys.keys()], ["a"]);
  assert.deepEqual(starts(data, "temperature", "a"), [1000]);
  assert.equal(data.points, 1);
});

test("points before the window are dropped, and keys without any", () => {
  const data = new SeriesData();
  data.apply(message({ series: [one("a", points(0, 3)), one("b", points(2, 9))] }), false);
  data.apply(message({ from: 5000, series: [] }), true);
  assert.deepEqual([...data.fields.get("temperature").keys()], ["b"]);
  assert.deepEqual(starts(data, "temperature", "b"), [5000, 6000, 7000, 8000]);
  assert.equal(data.points, 4);
});

test("a stream without end stays within the bounds, and says how many points did not fit", () => {
  const data = new SeriesData();
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`);
  for (let second = 0; second < 2000; second += 200) {
    data.apply(message({ series: keys.map((key) => one(key, points(second, second + 100))) }), second > 0);
    assert.ok(data.points <= MAX_POINTS, `${data.points}`);
  }
  const kept = [...data.fields.get("temperature").values()].reduce((sum, series) => sum + series.length, 0);
  assert.equal(kept, data.points);
  assert.equal(data.points + data.refusedPoints, 1_000_000);
});

test("what the server left out and how complete it is are kept", () => {
  const data = new SeriesData();
  const omitted = { series: 3, records: 12, reasons: { not_json: 12 } };
  data.apply(message({ complete_from: 30_000, complete_to: 59_000, omitted }), false);
  assert.deepEqual([data.completeFrom, data.completeTo, data.lateUntil], [30_000, 59_000, null]);
  assert.deepEqual(data.omitted, { series: 3, records: 12, reasons: new Map([["not_json", 12]]) });
});

test("the server's clock is estimated from the fastest message", () => {
  const data = new SeriesData();
  const ahead = Date.now() + 3_600_000;
  data.apply(message({ complete_to: ahead }), false);
  data.apply(message({ complete_to: ahead - 5000 }), true);
  assert.ok(Math.abs(data.now() - ahead) < 2000, `${data.now() - ahead}`);
});

test("states are kept by field and key, with their names", () => {
  const data = new SeriesData();
  const state = (by, states, points) => ({ field: "value.state", by, states, points });
  data.apply(message({ series: [state("a", ["running"], [[0, 0, 0, 0, 5]])] }), false);
  data.apply(message({ series: [state("a", ["running", "stopped"], [[1000, 0, 1, 1, 5]])] }), true);
  const { series, names } = data.states.get("state").get("a");
  assert.deepEqual(names, ["running", "stopped"]);
  assert.deepEqual([...series.last.slice(0, 2)], [0, 1]);
  assert.equal(data.fields.size, 0);
  data.apply(message({ from: 30_000 }), true);
  assert.equal(data.states.get("state").size, 0);
});

test("hostile names are only names", () => {
  const data = new SeriesData();
  data.apply(message({ series: [one("__proto__", points(0, 1), "value.__proto__"), one("constructor", points(0, 1), "value.__proto__")] }), false);
  assert.deepEqual([...data.fields.get("__proto__").keys()], ["__proto__", "constructor"]);
  assert.equal({}.length, undefined);
});
