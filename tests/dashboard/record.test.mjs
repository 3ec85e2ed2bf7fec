import assert from "node:assert/strict";
import { test } from "node:test";
import { Entry, decodedLength, locationOf, prettyValue, textOf } from "../../src/dashboard/record.js";

test("the location is read from the start of the text", () => {
  assert.deepEqual(locationOf('{"topic":"a.b-c_1","partition":12,"offset":9007199254740991,"value":'), { topic: "a.b-c_1", partition: 12, offset: 9_007_199_254_740_991 });
  assert.equal(locationOf('{"value":{"topic":"t","partition":1,"offset":2}}'), null);
  assert.equal(locationOf(""), null);
});

test("a key or value that is not a string is shown as JSON", () => {
  assert.deepEqual([null, undefined, "", "a", 0, false, { n: [1] }].map(textOf), ["", "", "", "a", "0", "false", '{"n":[1]}']);
});

test("the length of base64 data accounts for its padding", () => {
  for (const bytes of [0, 1, 2, 3, 4, 100]) assert.equal(decodedLength(Buffer.alloc(bytes).toString("base64")), bytes);
});

test("a value is indented, and text stays text", () => {
  assert.equal(prettyValue('{"value":{"n":1}}'), '{\n  "n": 1\n}');
  assert.equal(prettyValue('{"value":"{\\"n\\":1}"}'), '{"n":1}');
  assert.equal(prettyValue('{"value":"/w==","encoding":"base64"}'), "/w==");
});

test("a summary is one bounded line, parsed once", () => {
  const entry = new Entry("record", JSON.stringify({ topic: "t", partition: 1, offset: 2, key: "k", value: "x".repeat(1000), headers: [], timestamp: 5 }), 0);
  assert.deepEqual([entry.partition, entry.offset], [1, 2]);
  assert.deepEqual([entry.summary.key, entry.summary.text.length, entry.summary.timestamp], ["k", 300, 5]);
  assert.equal(entry.summary, entry.summary);
});

test("an entry that is not JSON is shown as its text", () => {
  assert.deepEqual(new Entry("record", "not JSON", 0).summary, { key: "", text: "not JSON", timestamp: null });
});

test("a gap is described by its reason", () => {
  const summary = (reason) => new Entry("gap", JSON.stringify({ topic: "t", partition: 0, from: 10, to: 15, reason }), 0).summary.text;
  assert.match(summary("retention"), /^5 offsets \(10 to 14\) were deleted by retention/);
  assert.match(summary("skipped"), /^5 records \(offsets 10 to 14\) were skipped/);
  assert.match(summary("truncated"), /truncated.* 15$/);
  assert.match(summary("recreated"), /recreated/);
});
