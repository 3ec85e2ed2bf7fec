import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_SERIES, Store } from "../../src/dashboard/store.js";

test("many keys with many fields stay within the bounds, and the page says what is not counted", () => {
  const store = new Store();
  const fields = Object.fromEntries(Array.from({ length: 24 }, (_, i) => [`f${i}`, i]));
  const keys = Math.ceil(MAX_SERIES / 24) + 10;
  for (let key = 0; key < keys; key += 1) {
    store.add("record", JSON.stringify({ topic: "t", partition: 0, offset: key, timestamp: key, key: `k${key}`, headers: [], value: fields }));
  }
  const series = [...store.fields.values()].flatMap((all) => [...all.values()]);
  assert.equal(series.length, MAX_SERIES);
  assert.ok(series.length * store.pointsPerSeries <= 600_000, `${store.pointsPerSeries}`);
  assert.ok(store.omittedKeys.size >= 10, `${store.omittedKeys.size}`);
});
