import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_LINES, chooseLines } from "../../src/dashboard/lines.js";

const summary = (min, max, current = max) => ({ min, max, current });
/** `count` keys between 10 and 20, with the given exceptions. */
const keys = (count, exceptions = {}) => new Map([
  ...Array.from({ length: count - Object.keys(exceptions).length }, (_, i) => [`key-${i}`, summary(10, 20)]), ...Object.entries(exceptions),
]);
const none = new Set();

test("few keys are drawn as lines, except hidden ones", () => {
  const choice = chooseLines(keys(MAX_LINES), undefined, new Set(["key-3"]));
  assert.equal(choice.isBand, false);
  assert.equal(choice.drawn.size, MAX_LINES - 1);
  assert.equal(choice.drawn.has("key-3"), false);
});

test("many keys are a band, with the highest and the lowest as lines", () => {
  const { isBand, drawn } = chooseLines(keys(200, { hot: summary(15, 60), cold: summary(-5, 20) }), undefined, none);
  assert.equal(isBand, true);
  assert.deepEqual([...drawn], [["hot", "highest"], ["cold", "lowest"]]);
});

test("a key above the threshold is drawn and named, wherever it is among 200", () => {
  const { drawn, aboveThreshold } = chooseLines(keys(200, { hot: summary(15, 60, 18) }), 50, none);
  assert.equal(drawn.get("hot"), "above threshold");
  assert.deepEqual(aboveThreshold, ["hot"]);
});

test("of too many keys above the threshold the highest are drawn, and all are named", () => {
  const all = new Map(Array.from({ length: 100 }, (_, i) => [`key-${i}`, summary(0, i)]));
  const { drawn, aboveThreshold } = chooseLines(all, 49, none);
  assert.equal(drawn.size, MAX_LINES);
  assert.equal(aboveThreshold.length, 50);
  assert.deepEqual([...drawn.keys()].slice(0, 2), ["key-99", "key-98"]);
});

test("chosen keys come first, also without values", () => {
  const { drawn } = chooseLines(new Map([...keys(100), ["silent", null]]), undefined, new Set(["silent", "key-9"]));
  assert.deepEqual([...drawn].slice(0, 2), [["silent", "chosen"], ["key-9", "chosen"]]);
});

test("keys without values in the window are neither extreme nor above a threshold", () => {
  const { drawn, aboveThreshold } = chooseLines(new Map(Array.from({ length: 30 }, (_, i) => [`key-${i}`, null])), 0, none);
  assert.deepEqual([drawn.size, aboveThreshold.length], [0, 0]);
});
