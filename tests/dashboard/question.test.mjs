import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldLabel, isComplete, longerStep, questionUrl } from "../../src/dashboard/question.js";

test("a question becomes a URL without the parts that it does not have", () => {
  assert.equal(questionUrl("plant", { from: "-5m", to: null, by: "key" }), "topics/plant/series?from=-5m&by=key");
  const all = { from: "1000", to: "2000", step: "1s", by: "header:a b", each: "value.sensors", time: "value.t", where: "key != 'a'", fields: ["value.a", "value[\"b c\"]"], states: ["value.s"] };
  const url = new URL(questionUrl("a.b", all), "http://x/");
  assert.equal(url.pathname, "/topics/a.b/series");
  const read = (name) => url.searchParams.getAll(name);
  assert.deepEqual([read("from"), read("to"), read("step"), read("by"), read("each"), read("time"), read("where")], [["1000"], ["2000"], ["1s"], ["header:a b"], ["value.sensors"], ["value.t"], ["key != 'a'"]]);
  assert.deepEqual([read("field"), read("state")], [["value.a", "value[\"b c\"]"], ["value.s"]]);
});

test("a field is shown without the leading value", () => {
  const labels = [["value", "value"], ["value.temperature", "temperature"], ["value.motor.rpm", "motor.rpm"], ['value["air \\"in\\""]', 'air "in"'], ['value["a b"].c', '["a b"].c'], ['value["\\x"]', 'value["\\x"]'], ["values", "values"]];
  for (const [path, label] of labels) assert.equal(fieldLabel(path), label);
});

test("a response without room for all series gets a longer step", () => {
  const omitted = (series) => ({ series, reasons: new Map([["large_answer", 9]]) });
  assert.equal(longerStep(1000, omitted(50), 350), 2000);
  assert.equal(longerStep(1000, omitted(3000), 300), 15_000);
  assert.equal(longerStep(1000, { series: 50, reasons: new Map([["too_many_series", 9]]) }, 350), null);
  assert.equal(longerStep(1000, { series: 0, reasons: new Map() }, 350), null);
  assert.equal(longerStep(1000, omitted(1), 0), null);
});

test("the twelfth version of a live window is not a complete window", () => {
  assert.deepEqual(["1f-c", "c-c", "1f-a-c", "c-c-c", ""].map(isComplete), [false, false, true, true, false]);
});
