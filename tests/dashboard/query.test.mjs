import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULTS, WINDOWS, formatNames, formatThresholds, href, parse, parseNames, parseThresholds } from "../../src/dashboard/query.js";

test("an empty query is the default view, the overview", () => {
  assert.deepEqual(parse(""), DEFAULTS);
  assert.equal(parse("").topic, "");
});

test("known parameters are read and unknown ones ignored", () => {
  const view = parse("?topic=log&q=a%20b&share=tab&__proto__=1");
  assert.deepEqual(view, { ...DEFAULTS, topic: "log", q: "a b" });
});

test("an unknown window becomes the default one", () => {
  assert.equal(parse("?window=10m").window, "5m");
  assert.equal(parse("?window=").window, "5m");
  for (const window of WINDOWS.keys()) assert.equal(parse(`?window=${window}`).window, window);
});

test("a link omits default values", () => {
  assert.equal(href(DEFAULTS), "./");
  assert.equal(href({}), "./");
  assert.equal(href({ topic: "log", window: "5m", q: "" }), "?topic=log");
  assert.equal(href({ topic: "log", window: "1h" }), "?topic=log&window=1h");
});

test("every view survives a round trip through a link", () => {
  const view = { ...DEFAULTS, topic: "a.b-c", window: "6h", from: "2026-01-31T08:00:00Z", to: "1769846400000", by: "header:a b", also: "x,y", q: "50% & <b>", key: "ä=1", header: "h:v", partition: "3", over: "t:9", at: "14:30", search: "?#" };
  assert.deepEqual(parse(href(view)), view);
});

test("thresholds are read by field", () => {
  assert.deepEqual(parseThresholds("temperature:90,motor.rpm:-3000.5"), new Map([["temperature", 90], ["motor.rpm", -3000.5]]));
  assert.deepEqual(parseThresholds(""), new Map());
});

test("thresholds that are not numbers are ignored", () => {
  assert.deepEqual(parseThresholds("a:x,b:NaN,c:Infinity,d,e:1,,"), new Map([["e", 1]]));
});

test("field names with separators survive a round trip", () => {
  const thresholds = new Map([["a:b", 1], ["c,d", 2], ["100%", 0], ["ü", -1e300]]);
  assert.deepEqual(parseThresholds(formatThresholds(thresholds)), thresholds);
  const names = new Set(["a:b", "c,d", "100%", "ü"]);
  assert.deepEqual(parseNames(formatNames(names)), names);
});

test("a percent sign that encodes nothing is kept", () => {
  assert.deepEqual(parseThresholds("100%:5"), new Map([["100%", 5]]));
  assert.deepEqual(parseNames("100%,a"), new Set(["100%", "a"]));
});

test("no names are an empty set", () => {
  assert.deepEqual(parseNames(""), new Set());
  assert.equal(formatNames(new Set()), "");
});
