import assert from "node:assert/strict";
import { test } from "node:test";
import { FilteredList, createFilter } from "../../src/dashboard/filter.js";
import { Entry } from "../../src/dashboard/record.js";

const NONE = { q: "", key: "", header: "", partition: "" };
const entry = (parts = {}, kind = "record", serial = 0) =>
  new Entry(kind, JSON.stringify({ topic: "t", partition: 0, offset: 0, key: null, value: "", headers: [], timestamp: 0, ...parts }), serial);
const gap = (partition) => new Entry("gap", JSON.stringify({ topic: "t", partition, offset: 0, from: 1, to: 3, reason: "retention" }), 0);
const matches = (filter, parts, kind) => createFilter({ ...NONE, ...filter })(entry(parts, kind));

test("an empty filter is null: everything matches", () => {
  assert.equal(createFilter(NONE), null);
});

test("text is found in value and key, in upper and lower case", () => {
  assert.ok(matches({ q: "BOIL" }, { value: "the boiler" }));
  assert.ok(matches({ q: "boil" }, { key: "Boiler-2" }));
  assert.ok(!matches({ q: "fan" }, { value: "the boiler", key: "b" }));
});

test("text is found in a value that is JSON, by its text", () => {
  assert.ok(matches({ q: '"n":1' }, { value: { n: 1 } }));
  assert.ok(!matches({ q: '"n":2' }, { value: { n: 1 } }));
});

test("text that only the envelope contains does not match", () => {
  assert.ok(!matches({ q: "partition" }, { value: "x" }));
  assert.ok(!matches({ q: "trace" }, { headers: [{ name: "trace", value: "1" }] }));
});

test("text that JSON escapes is found", () => {
  assert.ok(matches({ q: 'say "hi"' }, { value: 'They say "hi"' }));
  assert.ok(matches({ q: "a\\b" }, { value: "a\\b" }));
  assert.ok(matches({ q: "ärger" }, { value: "ÄRGER" }));
});

test("a key matches exactly, also one that is not a string", () => {
  assert.ok(matches({ key: "a" }, { key: "a" }));
  assert.ok(!matches({ key: "a" }, { key: "ab" }));
  assert.ok(!matches({ key: "a" }, { key: null }));
  assert.ok(matches({ key: "7" }, { key: 7 }));
});

test("a header matches by name, or by name and value", () => {
  const headers = [{ name: "trace", value: "1:2" }, { name: "trace", value: "3" }];
  assert.ok(matches({ header: "trace" }, { headers }));
  assert.ok(matches({ header: "trace:1:2" }, { headers }));
  assert.ok(matches({ header: "trace: 3" }, { headers }));
  assert.ok(!matches({ header: "trace:2" }, { headers }));
  assert.ok(!matches({ header: "tra" }, { headers }));
});

test("a partition matches by number, and other text does not filter", () => {
  assert.ok(matches({ partition: "2" }, { partition: 2 }));
  assert.ok(!matches({ partition: "2" }, { partition: 12 }));
  assert.ok(matches({ partition: "all" }, { partition: 12 }));
});

test("all conditions must hold", () => {
  const parts = { key: "a", value: "hot", partition: 1 };
  assert.ok(matches({ q: "hot", key: "a", partition: "1" }, parts));
  assert.ok(!matches({ q: "cold", key: "a", partition: "1" }, parts));
  assert.ok(!matches({ q: "hot", key: "a", partition: "0" }, parts));
});

test("a tombstone matches by its key", () => {
  assert.ok(matches({ q: "boil" }, { key: "boiler", value: null }, "tombstone"));
  assert.ok(!matches({ q: "null" }, { key: "boiler", value: null }, "tombstone"));
});

test("a gap matches by its partition only", () => {
  assert.ok(createFilter({ ...NONE, partition: "1" })(gap(1)));
  assert.ok(!createFilter({ ...NONE, partition: "0" })(gap(1)));
  for (const field of ["q", "key", "header"]) assert.ok(!createFilter({ ...NONE, [field]: "retention" })(gap(1)), field);
});

/** Entries with the serial numbers and values `from` to `to` - 1. */
const entries = (from, to) => Array.from({ length: to - from }, (_, n) => entry({ value: `number ${from + n}` }, "record", from + n));
const even = ({ serial }) => serial % 2 === 0;
const serials = (list) => list.rows.map(({ serial }) => serial);

/** Resolves when the scan of a list has found `count` rows. */
async function scanned(list, count) {
  const deadline = Date.now() + 10_000;
  while (list.rows.length < count && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve));
  assert.equal(list.rows.length, count);
}

test("a list without a filter shows all entries", () => {
  const all = entries(0, 3);
  const list = new FilteredList(() => all, () => {});
  assert.equal(list.rows, all);
  assert.equal(list.add(entries(3, 5)), 2);
});

test("a filter finds the matches of a long list, oldest first", async () => {
  const all = entries(0, 20_000);
  let changes = 0;
  const list = new FilteredList(() => all, () => (changes += 1));
  list.setTest(even);
  await scanned(list, 10_000);
  assert.deepEqual(serials(list), Array.from({ length: 10_000 }, (_, n) => 2 * n));
  assert.ok(changes >= 2, `${changes} changes`);
});

test("entries that are added while a filter scans are found once", async () => {
  const all = entries(0, 20_000);
  const list = new FilteredList(() => all, () => {});
  list.setTest((candidate) => {
    // Slow enough for several slices.
    for (let i = 0; i < 2000; i += 1) Math.sqrt(i);
    return even(candidate);
  });
  const added = entries(20_000, 20_004);
  all.push(...added);
  assert.equal(list.add(added), 2);
  await scanned(list, 10_002);
  assert.deepEqual(serials(list), Array.from({ length: 10_002 }, (_, n) => 2 * n));
});

test("entries that are dropped while a filter scans are not found", async () => {
  let all = entries(0, 20_000);
  const list = new FilteredList(() => all, () => {});
  list.setTest((candidate) => {
    for (let i = 0; i < 2000; i += 1) Math.sqrt(i);
    return even(candidate);
  });
  all = all.slice(15_000);
  list.dropBefore(15_000);
  await scanned(list, 2500);
  assert.deepEqual(serials(list), Array.from({ length: 2500 }, (_, n) => 15_000 + 2 * n));
});

test("a new filter replaces the first, and null shows all entries", async () => {
  const all = entries(0, 100);
  const list = new FilteredList(() => all, () => {});
  list.setTest(even);
  list.setTest(({ serial }) => serial === 7);
  await scanned(list, 1);
  assert.deepEqual(serials(list), [7]);
  list.setTest(null);
  assert.equal(list.rows, all);
});

test("dropping every match leaves none", () => {
  const all = entries(0, 10);
  const list = new FilteredList(() => all, () => {});
  list.setTest(even);
  list.dropBefore(100);
  assert.deepEqual(serials(list), []);
});
