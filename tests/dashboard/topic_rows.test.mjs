import assert from "node:assert/strict";
import test from "node:test";
import { ariaSort, groupTopics, lastText, nextOrder, prefixOf, recordAge, sortTopics, totalRate } from "../../src/dashboard/topic_rows.js";

const topics = [
  { name: "plant.b", rate: 5, last: { timestamp: 30 } },
  { name: "orders", rate: null, last: null },
  { name: "plant.a", rate: 0, last: { timestamp: null } },
  { name: "web-log", rate: 5, last: { problem: "not read yet" } },
  { name: "web-visits", rate: 70, last: { timestamp: 50 } },
];
const names = (sorted) => sorted.map(({ name }) => name);

test("topics are sorted by name, rate and last record, and unknown numbers come last", () => {
  assert.deepEqual(names(sortTopics(topics, "")), ["orders", "plant.a", "plant.b", "web-log", "web-visits"]);
  assert.deepEqual(names(sortTopics(topics, "name-down")), ["web-visits", "web-log", "plant.b", "plant.a", "orders"]);
  assert.deepEqual(names(sortTopics(topics, "rate")), ["web-visits", "plant.b", "web-log", "plant.a", "orders"]);
  assert.deepEqual(names(sortTopics(topics, "rate-up")), ["plant.a", "plant.b", "web-log", "web-visits", "orders"]);
  assert.deepEqual(names(sortTopics(topics, "last")), ["web-visits", "plant.b", "orders", "plant.a", "web-log"]);
  assert.deepEqual(names(sortTopics(topics, "last-up")), ["plant.b", "web-visits", "orders", "plant.a", "web-log"]);
  assert.deepEqual(names(sortTopics(topics, "edited by hand")), names(sortTopics(topics, "")));
});

test("a heading switches between the two orders of its column", () => {
  assert.equal(nextOrder("", "name"), "name-down");
  assert.equal(nextOrder("name-down", "rate"), "rate");
  assert.equal(nextOrder("rate", "rate"), "rate-up");
  assert.equal(nextOrder("rate-up", "name"), "");
  assert.deepEqual(["", "name-down", "rate"].map((order) => ariaSort(order, "name")), ["ascending", "descending", null]);
  assert.deepEqual(["rate", "rate-up", ""].map((order) => ariaSort(order, "rate")), ["descending", "ascending", null]);
});

test("topics with a common prefix are a group, in the order of their first topics", () => {
  assert.deepEqual(["plant.a.b", "plant-a", "a_b", "orders", ".hidden", "_x"].map(prefixOf), ["plant.", "plant-", "a_", "", "", ""]);
  const grouped = groupTopics([...topics, { name: "solo.x", rate: 1 }]).map(([prefix, members]) => [prefix, names(members)]);
  assert.deepEqual(grouped, [["plant.", ["plant.b", "plant.a"]], ["web-", ["web-log", "web-visits"]], ["", ["orders", "solo.x"]]]);
  assert.deepEqual(groupTopics([]), []);
  assert.equal(totalRate(topics), 80);
  assert.equal(totalRate([{ rate: null }]), null, "unknown, not zero");
});

test("the newest record is shown as key and value, or with the reason why it is missing", () => {
  const text = (last) => lastText(last).text;
  assert.equal(text({ key: "boiler", value: { t: 21.5 } }), 'boiler: {"t":21.5}');
  assert.equal(text({ key: null, value: "plain" }), "plain");
  assert.equal(text({ key: 7, value: null }), "7: tombstone");
  assert.equal(text({ key: null, value: "AAEC", encoding: "base64" }), "3 bytes, base64 AAEC");
  assert.equal(text({ key: "lo", key_bytes: 300, value: '{"a":1', value_bytes: 2048 }), 'lo…: {"a":1… (2.0 KiB)');
  assert.equal(text({ key: null, value: "AAEC", encoding: "base64", value_bytes: 5000 }), "5000 bytes, base64 AAEC");
  assert.equal(text({ key: null, value: "AA==", encoding: "base64", schema_error: "no schema 7" }), "not decoded: no schema 7");
  assert.deepEqual(lastText(null), { text: "no records", isNote: true });
  assert.deepEqual(lastText({ problem: "not read yet" }), { text: "not read yet", isNote: true });
});

test("the age of a record is shown unless it is from the future", () => {
  assert.equal(recordAge(1000, 4000), "3 s ago");
  assert.equal(recordAge(1000, 500), "0 s ago", "within the difference of two clocks");
  assert.equal(recordAge(null, 0), "–");
  assert.ok(!recordAge(Date.now() + 3_600_000, Date.now()).includes("ago"));
});
