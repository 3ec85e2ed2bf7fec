import assert from "node:assert/strict";
import { test } from "node:test";
import { WINDOWS } from "../../src/dashboard/query.js";
import { edges, isLive, parseTime, questionRange, rangeOf, zoomedIn, zoomedOut } from "../../src/dashboard/range.js";

const NOW = 1_769_846_400_000;
const of = (state) => rangeOf({ window: "5m", from: "", to: "", ...state });

test("a time in a URL is in milliseconds or ISO 8601", () => {
  assert.equal(parseTime("1769846400000"), NOW);
  assert.equal(parseTime("2026-01-31T08:00:00Z"), NOW);
  for (const bad of ["", "yesterday", "-5m", "1e3", "99999999999999999"]) assert.equal(parseTime(bad), null, bad);
});

test("a range is a window, a fixed range, or one from a time on", () => {
  assert.deepEqual(of({}), { window: "5m", from: null, to: null });
  assert.deepEqual(of({ from: "1000", to: "2000" }), { window: null, from: 1000, to: 2000 });
  assert.deepEqual(of({ from: "1000" }), { window: null, from: 1000, to: null });
  for (const bad of [{ to: "2000" }, { from: "2000", to: "1000" }, { from: "x", to: "1000" }, { from: "1000", to: "x" }]) assert.equal(of(bad).window, "5m", JSON.stringify(bad));
  assert.deepEqual([of({}), of({ from: "1000" }), of({ from: "1000", to: "2000" })].map(isLive), [true, true, false]);
});

test("a live range ends now", () => {
  assert.deepEqual(edges(of({}), NOW), { from: NOW - 300_000, to: NOW });
  assert.deepEqual(edges(of({ from: "1000" }), NOW), { from: 1000, to: NOW });
  assert.deepEqual(edges(of({ from: "1000", to: "9000" }), NOW), { from: 1000, to: 9000 });
  assert.deepEqual(edges(of({ window: "all" }), NOW, 5000), { from: 5000, to: NOW });
  assert.deepEqual(edges(of({ window: "all" }), NOW, undefined), { from: NOW - 1000, to: NOW }, "an empty topic");
});

test("the request has the same range as the charts", () => {
  for (const [window, length] of WINDOWS) {
    if (length !== null) assert.deepEqual(questionRange(of({ window })), { from: `-${window}`, to: null });
  }
  assert.deepEqual(questionRange(of({ window: "all" }), 5000), { from: "5000", to: null });
  assert.deepEqual(questionRange(of({ from: "1000" })), { from: "1000", to: null });
  assert.deepEqual(questionRange(of({ from: "1000", to: "2000" })), { from: "1000", to: "2000" });
});

test("zooming in keeps what was dragged over, and at least a second", () => {
  assert.deepEqual(zoomedIn(20_000.4, 10_000.2), { from: "10000", to: "20001" });
  assert.deepEqual(zoomedIn(10_000, 10_010), { from: "9505", to: "10505" });
});

test("zooming out is around the middle and never ends in the future", () => {
  assert.deepEqual(zoomedOut({ from: 40_000, to: 50_000 }, NOW), { from: "30000", to: "60000" });
  assert.deepEqual(zoomedOut({ from: NOW - 10_000, to: NOW }, NOW), { from: String(NOW - 30_000), to: String(NOW) });
  assert.deepEqual(zoomedOut({ from: 0, to: 50_000 }, NOW), { from: "0", to: "100000" });
});
