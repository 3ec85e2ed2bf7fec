import assert from "node:assert/strict";
import { test } from "node:test";

// The formatters read the time zone when the module loads.
process.env.TZ = "UTC";
const { endpoint } = await import("../../src/dashboard/base.js");
const format = await import("../../src/dashboard/format.js");

test("counts are grouped in thousands", () => {
  assert.equal(format.count(0), "0");
  assert.equal(format.count(999), "999");
  assert.equal(format.count(9_007_199_254_740_991), "9,007,199,254,740,991");
});

test("rates change their unit at 10, 10,000 and a million", () => {
  const rates = [0, 9.94, 10, 9999, 10_000, 999_900, 1e6, 2.55e6];
  assert.deepEqual(rates.map(format.rate), ["0.0", "9.9", "10", "9,999", "10.0 k", "999.9 k", "1.0 M", "2.5 M"]);
});

test("an unknown rate is a dash, not zero", () => {
  assert.equal(format.rate(null), "–");
  assert.equal(format.rate(undefined), "–");
});

test("short numbers are exact integers, or have five significant digits, and an exponent only if they are very small or large", () => {
  const cases = [
    [0, "0"], [-0, "0"], [21.5, "21.5"], [0.1 + 0.2, "0.3"], [1234.56, "1234.6"], [-1234.56, "-1234.6"],
    [10_000, "10,000"], [1_234_567, "1,234,567"], [12_571_953_755, "12,571,953,755"],
    [2 ** 53 - 1, "9,007,199,254,740,991"], [2 ** 53, "9.01e+15"], [12_345.678, "12,345.68"],
    [0.001, "0.001"], [0.00099, "9.9e-4"], [1.5e12 + 0.5, "1.5e+12"], [-2.5e300, "-2.5e+300"], [5e-324, "4.94e-324"],
  ];
  for (const [number, text] of cases) assert.equal(format.short(number), text, String(number));
});

test("exact numbers keep every digit of a double", () => {
  assert.equal(format.exact(0.1 + 0.2), "0.30000000000000004");
  assert.equal(format.exact(Number.MAX_SAFE_INTEGER), "9007199254740991");
});

test("bytes change their unit at 1024", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1 << 20, 5 << 19].map(format.bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "2.5 MiB"]);
});

test("timestamps show milliseconds", () => {
  assert.equal(format.timestamp(1_769_846_400_007), "31 Jan 2026 08:00:00.007");
  assert.equal(format.timestamp(0), "01 Jan 1970 00:00:00.000");
});

test("a missing timestamp and one beyond the range of dates are distinguished", () => {
  assert.equal(format.timestamp(null), "no timestamp");
  assert.equal(format.timestamp(undefined), "no timestamp");
  assert.equal(format.timestamp(8.64e15 + 1), "8640000000000001 ms");
  assert.equal(format.timestamp(-9e15), "-9000000000000000 ms");
});

test("the list shows today's times with milliseconds and other times with the date", () => {
  const now = new Date();
  const today = new Date(now.getFullYear(), now.getMonth(), now.getDate(), 14, 30, 5, 42).getTime();
  // Midnight may pass between the two reads of the clock.
  if (new Date().getDate() === now.getDate()) assert.equal(format.listTime(today), "14:30:05.042");
  assert.equal(format.listTime(1_769_846_400_007), "31 Jan 2026 08:00:00");
  for (const none of [null, undefined, NaN, Infinity, 9e15]) assert.equal(format.listTime(none), "–", String(none));
});

const record = (parts) => ({ key: null, value: "x", headers: [], ...parts });
const URL_OF_T = endpoint("topics/t");

test("curl sends text and JSON as they are", () => {
  assert.equal(format.curl("t", record({}), "x"), `curl -H 'Content-Type: text/plain' --data-binary 'x' '${URL_OF_T}'`);
  assert.equal(
    format.curl("t", record({ key: "a b&c", value: { n: 1 } }), '{"n":1}'),
    `curl -H 'Content-Type: application/json' --data-binary '{"n":1}' '${URL_OF_T}?key=a%20b%26c'`,
  );
});

test("curl quotes a single quote for the shell", () => {
  assert.match(format.curl("t", record({ value: "it's" }), "it's"), /--data-binary 'it'\\''s'/);
});

test("curl deletes a tombstone's key, with plain headers", () => {
  const tombstone = record({ key: "k", value: null, headers: [{ name: "trace", value: "7" }] });
  assert.equal(format.curl("t", tombstone, null), `curl -X DELETE -H 'X-Kafka-trace: 7' '${URL_OF_T}?key=k'`);
});

/** The record inside the envelope of a curl command. */
function envelopeIn(command) {
  assert.match(command, /^curl -H 'Content-Type: application\/vnd\.kafka\.binary\.v2\+json' -d '/);
  return JSON.parse(command.slice(command.indexOf("-d '") + 4, command.lastIndexOf(`' '${URL_OF_T}'`))).records[0];
}
const bytes = (base64) => Buffer.from(base64, "base64").toString();

test("curl uses the envelope for binary values, control characters and unusual headers", () => {
  assert.deepEqual(envelopeIn(format.curl("t", record({ encoding: "base64", value: "/w==" }), "/w==")), { value: "/w==" });
  assert.equal(bytes(envelopeIn(format.curl("t", record({ value: "a\u0000b" }), "a\u0000b")).value), "a\u0000b");
  const unusual = [{ name: "Upper", value: "1" }, { name: "accent", value: "é" }];
  const { headers } = envelopeIn(format.curl("t", record({ headers: unusual }), "x"));
  assert.deepEqual(headers.map(({ key, value }) => [key, bytes(value)]), [["Upper", "1"], ["accent", "é"]]);
});

test("curl uses the envelope for a tombstone without a key", () => {
  assert.deepEqual(envelopeIn(format.curl("t", record({ value: null }), null)), { value: null });
});

test("an envelope encodes text as UTF-8 and leaves binary parts unchanged", () => {
  const envelope = format.envelopeOf(record({ key: "ä", partition: 3, value: "€" }), "€");
  assert.deepEqual([bytes(envelope.key), bytes(envelope.value), envelope.partition], ["ä", "€", 3]);
  assert.equal(format.envelopeOf(record({ key: "/w==", key_encoding: "base64" }), "x").key, "/w==");
  assert.equal(bytes(format.envelopeOf(record({ key: { id: 1 } }), "x").key), '{"id":1}');
});

test("an envelope omits a missing key and partition, but not an empty key", () => {
  assert.deepEqual(Object.keys(format.envelopeOf(record({ partition: null }), "x")), ["value"]);
  assert.equal(format.envelopeOf(record({ key: "" }), "x").key, "");
});

test("tick labels have as many decimals as their step", () => {
  assert.deepEqual(format.tickLabels([0, 0.5, 1], 0.5), ["0.0", "0.5", "1.0"]);
  assert.deepEqual(format.tickLabels([-0, 20, 40], 20), ["0", "20", "40"]);
  assert.deepEqual(format.tickLabels([1e-7, 2e-7], 1e-7), ["0.0000001", "0.0000002"]);
  assert.deepEqual(format.tickLabels([12_571_953_755, 12_571_953_756], 1), ["12,571,953,755", "12,571,953,756"]);
});

test("tick labels of very large and very small numbers have enough significant digits to differ", () => {
  assert.deepEqual(format.tickLabels([1e300, 1.2e300], 2e299), ["1.0e+300", "1.2e+300"].map((text) => text.replace(".0", "")));
  for (const [values, step] of [[[1e20, 1.01e20], 1e18], [[1e-12, 2e-12], 1e-12], [[5e15, 5e15 + 10], 10]]) {
    const labels = format.tickLabels(values, step);
    assert.notEqual(labels[0], labels[1], `${labels}`);
  }
  assert.deepEqual(format.tickLabels([-1e16, -0, 1e16], 1e16), ["-1e+16", "0", "1e+16"]);
});

test("durations have one unit", () => {
  const cases = [[0, "0 s"], [89_400, "89 s"], [90_000, "2 min"], [5_399_000, "90 min"], [7_200_000, "2 h"], [172_800_000, "2 d"]];
  for (const [ms, text] of cases) assert.equal(format.duration(ms), text, String(ms));
});

test("the command for a first record has the login, a topic that may be written, and a key", () => {
  const command = (session) => format.firstRecordCommand("https://example.org/left/", session);
  const body = `-d '{"temperature": 21.5}' 'https://example.org/left/topics`;
  assert.equal(command({ required: false, name: null, rights: null }), `curl ${body}/readings?key=boiler'`);
  assert.equal(command({ required: true, name: "ann", rights: { produce: ["*"] } }), `curl -u 'ann' ${body}/readings?key=boiler'`);
  assert.equal(command({ required: true, name: "it's", rights: { produce: ["plant.*", "x"] } }), `curl -u 'it'\\''s' ${body}/plant.readings?key=boiler'`);
  assert.equal(command({ required: true, name: "ann", rights: { produce: ["x", "read*"] } }), `curl -u 'ann' ${body}/readings?key=boiler'`);
  assert.equal(command({ required: true, name: "ann", rights: { produce: ["orders"] } }), `curl -u 'ann' ${body}/orders?key=boiler'`);
  assert.equal(command({ required: true, name: "ann", rights: {} }), null);
  const inTopic = (produce) => format.firstRecordCommand("https://example.org/left/", { required: true, name: "ann", rights: { produce } }, "t");
  assert.equal(inTopic(["t"]), `curl -u 'ann' ${body}/t?key=boiler'`);
  assert.equal(inTopic(["x"]), null);
});

test("the length of a step is exact", () => {
  const cases = [[200, "200 ms"], [1000, "1 s"], [15_000, "15 s"], [60_000, "1 min"], [90_000, "90 s"], [3_600_000, "1 h"], [86_400_000, "1 d"]];
  for (const [ms, text] of cases) assert.equal(format.step(ms), text);
});

test("the ticks of a time axis have the day where it changes", () => {
  const at = (hour, minute, second) => new Date(2026, 0, 31, hour, minute, second).getTime();
  const cases = [[at(8, 5, 10), 10_000, "08:05:10"], [at(8, 5, 0), 60_000, "08:05"], [at(0, 0, 0), 3_600_000, "31 Jan"], [at(8, 0, 0), 86_400_000, "31 Jan"]];
  for (const [ms, step, text] of cases) assert.equal(format.timeTick(ms, step), text);
});

test("a moment of another day has its date", () => {
  assert.equal(format.moment(new Date().setHours(8, 5, 10, 0)), "08:05:10");
  assert.equal(format.moment(new Date(2020, 0, 31, 8, 5, 10).getTime()), "31 Jan 2020 08:05:10");
});
