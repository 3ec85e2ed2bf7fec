import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.location = new URL("http://127.0.0.1:8080/");
globalThis.addEventListener = () => {};
const { moved, nextWindow, third } = await import("../../src/dashboard/navigate.js");

test("zoom goes through the windows, up to the first and the last", () => {
  assert.deepEqual([nextWindow("5m", -1), nextWindow("5m", 1), nextWindow("1m", -1), nextWindow("7d", 1), nextWindow("all", 1)], ["1m", "15m", null, "all", null]);
});

test("a range moves by half its length, and one that would reach now is null", () => {
  const range = { from: 1000, to: 3000 };
  assert.deepEqual(moved(range, 1, 5000), { from: "2000", to: "4000" });
  assert.equal(moved(range, 1, 4000), null);
  assert.equal(moved(range, 1, 4100), null, "a moment later");
  assert.deepEqual(moved(range, -1, 5000), { from: "0", to: "2000" });
  assert.deepEqual(moved({ from: 500, to: 2500 }, -1, 5000), { from: "0", to: "2000" }, "not before 1970");
});

test("zooming in keeps the third around the pointer, within the range", () => {
  const range = { from: 0, to: 90_000 };
  assert.deepEqual(third(range, null), { from: "30000", to: "60000" });
  assert.deepEqual(third(range, 40_000), { from: "25000", to: "55000" });
  assert.deepEqual(third(range, 0), { from: "0", to: "30000" });
  assert.deepEqual(third(range, 90_000), { from: "60000", to: "90000" });
});
