import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/dashboard/store.js";

const record = (offset, value = offset) => JSON.stringify({ topic: "t", partition: 0, offset, timestamp: 1000 * offset, key: "k", headers: [], value });
const gap = (reason) => JSON.stringify({ topic: "t", partition: 0, from: 5, to: 9, reason });

test("a store keeps the newest records within its bounds", () => {
  const store = new Store();
  for (let offset = 0; offset < 100_010; offset += 1) store.add("record", record(offset));
  store.trim();
  assert.equal(store.total, 100_010);
  assert.equal(store.entries.length, 100_000);
  assert.equal(store.entries[0].offset, 10);
});

test("large records are kept up to a number of characters, but at least one", () => {
  const store = new Store();
  for (let offset = 0; offset < 5; offset += 1) store.add("record", record(offset, "x".repeat(20 << 20)));
  store.trim();
  assert.equal(store.entries.length, 3);
  store.add("record", record(5, "x".repeat(70 << 20)));
  store.trim();
  assert.deepEqual(store.entries.map(({ offset }) => offset), [5]);
});

test("a gap in the log is marked at the newest record, and records that the user skipped are not", () => {
  const store = new Store();
  store.add("record", record(4));
  store.add("gap", gap("skipped"));
  assert.deepEqual(store.marks, []);
  store.add("gap", gap("retention"));
  assert.deepEqual(store.marks.map(({ at }) => at), [4000]);
});
