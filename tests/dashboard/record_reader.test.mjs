import assert from "node:assert/strict";
import { test } from "node:test";
import v8 from "node:v8";
import { namesIn } from "../../src/dashboard/path.js";
import { RecordReader } from "../../src/dashboard/record_reader.js";

// Browsers pass the source of a number to a reviver, and Node 20 does with this flag.
v8.setFlagsFromString("--harmony-json-parse-with-source");

const AT = 1_769_846_400_000;
const line = (key, value, headers = []) => JSON.stringify({ key, timestamp: AT, headers, value });
const read = (question, text) => new RecordReader(question).read(text).map(({ by, time, field, value }) => [by, time - AT, field, value]);

test("without a list of fields, every number outside of arrays is read, named by the key", () => {
  const value = { temperature: 21.5, motor: { "air flow": 3 }, phases: [1, 2], state: "on", ok: true, none: null };
  assert.deepEqual(read({ by: "key" }, line("boiler", value)), [["boiler", 0, "value.temperature", 21.5], ["boiler", 0, 'value.motor["air flow"]', 3]]);
  assert.deepEqual(read({ by: "key" }, line("boiler", 7)), [["boiler", 0, "value", 7]]);
  assert.deepEqual(read({}, line("boiler", 7)), [[null, 0, "value", 7]]);
});

test("a listed field may be a number with a unit, or true or false", () => {
  const question = { by: "key", fields: ["value.t", "value.on", "value.missing"] };
  assert.deepEqual(read(question, line("k", { t: "21.5 °C", on: true, x: 5 })), [["k", 0, "value.t", 21.5], ["k", 0, "value.on", 1]]);
});

test("each element of an array is read by itself, with its own name and time", () => {
  const question = { by: "value.sensors.id", each: "value.sensors", time: "value.sensors.at" };
  const value = { sensors: [{ id: "a", t: 1, at: AT + 5 }, { id: 2, t: 3, at: new Date(AT + 7).toISOString() }, { id: "without a time", t: 4 }] };
  assert.deepEqual(read(question, line("gateway", value)), [["a", 5, "value.sensors.t", 1], ["2", 7, "value.sensors.t", 3]]);
});

test("elements without a reading are skipped, all others are read, and an object counts as the only element", () => {
  const question = { by: "value.s.id", each: "value.s", fields: ["value.s.t"] };
  const elements = [{}, null, [{ id: "nested", t: 1 }], ...Array.from({ length: 300 }, (_, i) => ({ id: i, t: i }))];
  const readings = read(question, line("k", { s: elements }));
  assert.deepEqual(readings, Array.from({ length: 300 }, (_, i) => [String(i), 0, "value.s.t", i]));
  assert.deepEqual(read(question, line("k", { s: { id: "a", t: 1 } })), [["a", 0, "value.s.t", 1]]);
  assert.deepEqual(read({ by: "key", each: "value.s" }, line("k", { s: 5 })), [["k", 0, "value.s", 5]]);
});

test("names come from headers and fields, and the names and times are no readings", () => {
  const headers = [{ name: "site", value: "north" }, { name: "site", value: "south" }];
  assert.deepEqual(read({ by: "header:site" }, line("k", { t: 1 }, headers)), [["south", 0, "value.t", 1]]);
  assert.deepEqual(read({ by: "value.id", time: "value.ts" }, line("k", { id: 7, ts: AT / 1000 + 1, t: 2 })), [["7", 1000, "value.t", 2]]);
});

test("states are texts, and a number with a fraction is not a state", () => {
  const question = { by: "key", fields: ["value.t"], states: ["value.state", "value.open"] };
  assert.deepEqual(read(question, line("k", { t: 1, state: "running", open: false })), [["k", 0, "value.t", 1], ["k", 0, "value.state", "running"], ["k", 0, "value.open", "false"]]);
  assert.deepEqual(read(question, line("k", { state: 2, open: 1.5 })), [["k", 0, "value.state", "2"]]);
});

test("a key that is no text keeps its digits and its spaces, and what has no number gives no reading", () => {
  const text = '{"key":89490200001234567890,"timestamp":1769846400000,"value":{"t":1}}';
  assert.deepEqual(read({ by: "key" }, text), [["89490200001234567890", 0, "value.t", 1]]);
  const object = '{"id": ",\\"timestamp\\":1", "timestamp": 2}';
  assert.deepEqual(read({ by: "key" }, `{"key":${object},"timestamp":1769846400000,"value":{"t":1}}`), [[object, 0, "value.t", 1]]);
  for (const value of [null, "text", [1, 2], {}, { "": 1 }]) assert.deepEqual(read({ by: "key" }, line("k", value)), []);
});

test("names and states of numbers are written as the server writes them", () => {
  const names = [["89490200001234567890", null], ["8949020000123456789", "8949020000123456789"], ["-9007199254740993", "-9007199254740993"], ["18446744073709551615", "18446744073709551615"], ["7", "7"], ["7.0", "7.0"], ["7.50", "7.5"], ["0", "0"], ["-0", null], ["1e21", null], ["1E2", "100.0"]];
  for (const [text, name] of names) {
    const record = `{"key":null,"timestamp":${AT},"value":{"id":${text},"n":[{"id":${text},"t":3}],"at":${AT + 5},"t":1}}`;
    assert.deepEqual(read({ by: "value.id", time: "value.at", fields: ["value.t"] }, record), name === null ? [] : [[name, 5, "value.t", 1]], text);
    assert.deepEqual(read({ by: "value.n.id", each: "value.n", fields: ["value.n.t"] }, record), name === null ? [] : [[name, 0, "value.n.t", 3]], text);
    const isState = /^-?[1-9]?\d{1,18}$|^18446744073709551615$/.test(text) && text !== "-0";
    assert.deepEqual(read({ states: ["value.id"], fields: ["value.none"] }, record), isState ? [[null, 0, "value.id", text]] : [], text);
  }
  assert.deepEqual(read({ by: "value.id" }, line(null, { id: 7, t: 2 ** 60 })), [["7", 0, "value.t", 2 ** 60]]);
});

test("without the source of a number, a reading with a name of too many digits is left out", () => {
  const parse = JSON.parse;
  JSON.parse = (text, reviver) => parse(text, reviver && function (name, value) { return reviver.call(this, name, value, {}); });
  try {
    assert.deepEqual(read({ by: "value.id" }, `{"key":null,"timestamp":${AT},"value":{"id":9007199254740993,"t":1}}`), []);
    assert.deepEqual(read({ by: "value.id" }, `{"key":null,"timestamp":${AT},"value":{"id":7,"t":1}}`), [["7", 0, "value.t", 1]]);
  } finally {
    JSON.parse = parse;
  }
});

test("only the parts that are read are selected", () => {
  const select = (question) => new RecordReader(question).select;
  assert.equal(select({ by: "key" }), "key,timestamp,value");
  assert.equal(select({ by: "header:site", fields: ["value.t"] }), 'key,timestamp,headers,value["t"]');
  assert.equal(select({ by: "value.id", time: "value.ts", fields: ["value.motor", "value.motor.rpm", "value.t"] }), 'key,timestamp,value["motor"],value["t"],value["id"],value["ts"]');
  assert.equal(select({ by: "value.s.id", each: "value.s", fields: ["value.s.t", "value.s2"] }), 'key,timestamp,value["s"],value["s2"]');
  assert.equal(select({ fields: ["value"] }), "key,timestamp,value");
  assert.equal(select({ fields: Array.from({ length: 40 }, (_, i) => `value.f${i}`) }), "key,timestamp,value", "select takes up to 32 paths");
});

test("a path has names, plain or quoted", () => {
  const cases = [["value", []], ["value.a.b-c", ["a", "b-c"]], ['value["a.b"]["c\\"d"].e', ["a.b", 'c"d', "e"]], ["key", null], ["value..a", null], ["value[0]", null], ['value["\\x"]', null]];
  for (const [path, names] of cases) assert.deepEqual(namesIn(path), names, path);
});
