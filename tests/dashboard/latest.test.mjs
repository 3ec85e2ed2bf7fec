import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { LatestValues, MAX_NAMES, MAX_VALUES, readSnapshot } from "../../src/dashboard/latest.js";

const AT = 1_769_846_400_000;
const series = (points) => ({ length: points.length, start: points.map(([at]) => at), end: points.map(([at]) => at + 1000), last: points.map(([, last]) => last) });
const feed = (fields, states = []) => ({ fields: new Map(fields), states: new Map(states) });
const stored = (latest, by, field) => latest.names.get(by)?.get(field);

test("the newest value stays, from a record or from a series", () => {
  const latest = new LatestValues();
  latest.add({ by: "k", field: "t", value: 1, time: AT });
  latest.add({ by: "k", field: "t", value: 2, time: AT + 5 });
  latest.add({ by: "k", field: "t", value: 1, time: AT });
  assert.deepEqual(stored(latest, "k", "t"), { value: 2, time: AT + 5, until: AT + 5 });
  latest.addSeries(feed([["t", new Map([["k", series([[AT - 1000, 8], [AT, 9]])]])]]));
  assert.deepEqual(stored(latest, "k", "t"), { value: 9, time: AT + 5, until: AT + 1000 }, "the last value of the step is not before a record in it");
  latest.addSeries(feed([["t", new Map([["k", series([[AT - 9000, 7]])]])]]));
  assert.equal(stored(latest, "k", "t").value, 9);
});

test("names without a value in the series keep that of their record, and a state is its text", () => {
  const latest = new LatestValues();
  latest.add({ by: "silent", field: "t", value: 5, time: AT - 1e6 });
  latest.addSeries(feed([["t", new Map([["talks", series([[AT, 1]])], ["empty", series([])]])]], [["state", new Map([["m", { series: series([[AT, 1]]), names: ["stopped", "running"] }]])]]));
  assert.equal(stored(latest, "silent", "t").value, 5);
  assert.equal(stored(latest, "talks", "t").value, 1);
  assert.equal(stored(latest, "m", "state").value, "running");
  assert.equal(stored(latest, "empty", "t"), undefined);
});

test("with long steps, a record within the last step is newer than its point", () => {
  const latest = new LatestValues();
  latest.add({ by: "k", field: "t", value: 1, time: AT + 5 });
  const hourly = feed([["t", new Map([["k", series([[AT, 9]])]])]]);
  latest.addSeries(hourly, true);
  assert.equal(stored(latest, "k", "t").value, 1);
  latest.addSeries(hourly, false);
  assert.equal(stored(latest, "k", "t").value, 9);
});

test("the number of values is bounded, and known ones are still replaced", () => {
  const latest = new LatestValues();
  for (let n = 0; n < MAX_VALUES + 5; n += 1) latest.add({ by: "k", field: `f${n}`, value: n, time: AT });
  assert.equal(latest.names.get("k").size, MAX_VALUES);
  assert.ok(latest.isFull);
  latest.add({ by: "k", field: "f0", value: 7, time: AT + 1 });
  assert.equal(stored(latest, "k", "f0").value, 7);
});

test("the number of names is bounded", () => {
  const latest = new LatestValues();
  for (let n = 0; n < MAX_NAMES + 5; n += 1) latest.add({ by: `k${n}`, field: "value", value: n, time: AT });
  assert.equal(latest.names.size, MAX_NAMES);
  assert.ok(latest.isFull);
});

const realFetch = globalThis.fetch;
afterEach(() => (globalThis.fetch = realFetch));

/** Answers every request with this body, in pieces of 7 characters. */
function answer(text, init) {
  const requests = [];
  globalThis.fetch = async (url) => {
    requests.push(new URL(url));
    const pieces = text.match(/[^]{1,7}/g) ?? [];
    return new Response(ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece))), init);
  };
  return requests;
}

async function readAll() {
  const lines = [];
  await readSnapshot("plant", { select: "key,value", where: 'key != "x"' }, (line) => lines.push(line));
  return lines;
}

test("a snapshot is read to its end, record by record", async () => {
  const requests = answer('{"key":"a","value":1}\n{"key":"b","value":2}\n{"event":"live","keys":2}\n');
  assert.deepEqual(await readAll(), ['{"key":"a","value":1}', '{"key":"b","value":2}']);
  assert.deepEqual(Object.fromEntries(requests[0].searchParams), { from: "snapshot", until: "end", select: "key,value", where: 'key != "x"' });
});

test("an incomplete snapshot fails with the reason", async () => {
  answer('{"key":"a","value":1}\n');
  await assert.rejects(readAll(), /cut off/);
  answer('{"key":"a","value":1}\n{"event":"problem","status":413,"detail":"too large"}\n');
  await assert.rejects(readAll(), /too large/);
  answer('{"detail":"narrow the snapshot"}', { status: 413 });
  await assert.rejects(readAll(), /narrow the snapshot/);
  answer("<html>", { status: 502 });
  await assert.rejects(readAll(), /status 502/);
});
