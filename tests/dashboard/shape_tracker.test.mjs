import assert from "node:assert/strict";
import { test } from "node:test";
import { optionsOf } from "../../src/dashboard/choices.js";
import { ShapeTracker } from "../../src/dashboard/shape_tracker.js";

let offset = 0;
const entries = (count, of) => Array.from({ length: count }, (_, i) => {
  const record = { topic: "t", partition: 0, offset: offset++, timestamp: 1000 * offset, key: null, headers: [], value: null, ...of(i) };
  return { kind: "record", data: JSON.stringify(record), parse: () => record };
});
const none = { by: "", each: "", time: "" };
const paths = ({ shape }) => shape.fields.map(({ path }) => path);

test("the shape is computed at the first records, and then every two seconds", () => {
  const tracker = new ShapeTracker();
  assert.equal(tracker.update(none, 0), false);
  tracker.add(entries(150, () => ({ value: { t: 1 } })));
  assert.equal(tracker.update(none, 0), true);
  assert.equal(tracker.update(none, 5000), false, "nothing new");
  tracker.add(entries(1, () => ({ value: { t: 1, u: 2 } })));
  assert.equal(tracker.update(none, 1000), false, "too early");
  assert.equal(tracker.update(none, 2000), true);
  assert.deepEqual(paths(tracker), ["value.t", "value.u"]);
});

test("few records are looked at again when there are twice as many", () => {
  const tracker = new ShapeTracker();
  const add = (count) => {
    tracker.add(entries(count, () => ({ value: { id: offset, t: 1 } })));
    return tracker.update(none, 1);
  };
  assert.deepEqual([add(1), tracker.shape.by], [true, "value.id"]);
  assert.deepEqual([add(5), tracker.shape.by], [true, "key"], "the ids are counted");
});

test("fields that were found stay when the latest records have others", () => {
  const tracker = new ShapeTracker();
  tracker.add(entries(10, () => ({ value: { state: "on" } })));
  tracker.update(none, 0);
  tracker.add(entries(400, () => ({ value: { t: 1 } })));
  tracker.update(none, 9000);
  assert.deepEqual(paths(tracker), ["value.state", "value.t"]);
  assert.deepEqual(tracker.question.states, ["value.state"]);
});

test("what was found in many records stays", () => {
  const tracker = new ShapeTracker();
  tracker.add(entries(200, (i) => ({ value: { id: `dev-${i % 2}`, t: 1 } })));
  tracker.update(none, 0);
  tracker.add(entries(300, (i) => ({ key: `k-${i % 3}`, value: { id: `dev-${i % 2}`, t: 1 } })));
  tracker.update(none, 9000);
  assert.equal(tracker.shape.by, "value.id");
  assert.deepEqual(tracker.shape.bys, ["key", "value.id", "none"]);
});

test("a choice counts at once, and forgets the fields of the previous one", () => {
  const tracker = new ShapeTracker();
  tracker.add(entries(200, () => ({ value: { sensors: [{ id: "a", t: 1 }], u: 2 } })));
  tracker.update(none, 0);
  assert.deepEqual(paths(tracker), ["value.sensors.t", "value.u"]);
  tracker.reset();
  assert.equal(tracker.update({ ...none, each: "none" }, 1), true);
  assert.deepEqual(paths(tracker), ["value.u"]);
  assert.deepEqual(tracker.shape.found, { by: "value.sensors.id", each: "value.sensors", time: "record" });
});

test("gaps and tombstones say nothing", () => {
  const tracker = new ShapeTracker();
  tracker.add([{ kind: "gap" }, { kind: "tombstone" }]);
  assert.equal(tracker.update(none, 0), false);
});

test("a menu offers what was found first, without a value", () => {
  for (const [name, choices, found, expected] of [
    ["by", ["key", "header:device", "value.id", "none"], "value.id", [["", "id (auto)"], ["key", "key"], ["header:device", "header device"], ["none", "one series"]]],
    ["by", ["typo", "key"], "key", [["", "key (auto)"], ["typo", "typo"]]],
    ["each", ["value.sensors", "none"], "none", [["", "record (auto)"], ["value.sensors", "sensors"]]],
    ["time", ["record", 'value["at time"]'], "record", [["", "arrival (auto)"], ['value["at time"]', "at time"]]],
  ]) assert.deepEqual(optionsOf(name, choices, found), expected);
});

test("of large records, only the newest are looked at", () => {
  const tracker = new ShapeTracker();
  tracker.add(entries(5, (i) => ({ value: { [`t${i}`]: 1, text: "x".repeat(100_000) } })));
  tracker.update(none, 0);
  assert.deepEqual(paths(tracker), ["value.t3", "value.t4"]);
  tracker.add(entries(1, () => ({ value: { large: 1, text: "x".repeat(2_000_000) } })));
  assert.equal(tracker.latest().length, 1);
});
