import assert from "node:assert/strict";
import { test } from "node:test";
import { collectLeaves } from "../../src/dashboard/leaves.js";
import { numberIn, timeIn } from "../../src/dashboard/number_text.js";
import { join, parentOf } from "../../src/dashboard/path.js";
import { positionsOf, questionOf, shapeOf } from "../../src/dashboard/shape.js";

const ARRIVAL = Date.UTC(2026, 0, 31, 8);
/** Returns records that arrive once a second, with the values and other parts of `envelope(i)`. */
const records = (values, envelope = () => ({})) => values.map((value, i) => ({ topic: "t", partition: 0, offset: i, timestamp: ARRIVAL + i * 1000, key: null, headers: [], value, ...envelope(i) }));
const repeat = (count, of) => Array.from({ length: count }, (_, i) => of(i));
const keyed = (keys) => (i) => ({ key: `dev-${i % keys}` });
const kinds = ({ fields }) => Object.fromEntries(fields.map(({ path, kind, unit }) => [path, unit ? `${kind} ${unit}` : kind]));
const devices = repeat(12, (i) => ({ id: `dev-${i % 3}`, temperature: 20 + (i % 5) / 2 }));
const seconds = (i, late = 0) => (ARRIVAL - late) / 1000 + i;
const base64 = (...bytes) => btoa(String.fromCharCode(...bytes));

for (const [name, of, expected] of [
  ["the key tells series apart", records(repeat(6, (i) => ({ temperature: i % 2 })), keyed(2)), { by: "key", each: "none", time: "record" }],
  ["an id in the value counts without a key", records(devices), { by: "value.id", each: "none" }],
  ["an id in the value does not count beside a key", records(devices, keyed(3)), { by: "key" }],
  ["an id in the value counts if every record has the same key", records(devices, () => ({ key: "plant" })), { by: "value.id" }],
  ["an id in the value counts if every key is of one record", records(devices, (i) => ({ key: `7f0e5c0a-0000-4000-8000-${String(i).padStart(12, "0")}` })), { by: "value.id" }],
  ["many keys of one record each are one series", records(repeat(30, (i) => ({ temperature: i % 3 })), (i) => ({ key: i })), { by: "none" }],
  ["a counted id is of a message", records(repeat(6, (i) => ({ id: i, device: `d-${i % 2}`, t: 1 }))), { by: "value.device" }],
  ["a random id is of a message", records(repeat(4, (i) => ({ id: `7f0e5c0a-0000-4000-8000-00000000000${i}`, t: 1 }))), { by: "key" }],
  ["a number is an id only under such a name", records(repeat(6, (i) => ({ sensor: i % 2, machine_id: 7 + (i % 2) }))), { by: "value.machine_id" }],
  ["an inner id counts", records(repeat(4, (i) => ({ meta: { deviceId: `d-${i % 2}` }, t: 1 }))), { by: "value.meta.deviceId" }],
  ["a header tells series apart", records(repeat(4, () => ({ t: 1 })), (i) => ({ headers: [{ name: "device", value: `d-${i % 2}` }] })), { by: "header:device" }],
  ["an array of elements with ids is read element by element", records([{ sensors: [{ id: "a", t: 1 }, { id: "b", t: 2 }] }]), { by: "value.sensors.id", each: "value.sensors" }],
  ["the value can be the array", records([[{ id: "a", t: 1 }, { id: "b", t: 2 }]]), { by: "value.id", each: "value" }],
  ["elements with times are readings", records([{ log: [{ ts: seconds(0), t: 1 }, { ts: seconds(1), t: 2 }] }]), { each: "value.log", time: "value.log.ts", by: "key" }],
  ["times in an array beside other readings do not count", [...records(repeat(3, (i) => ({ device_id: "d", payload: { t: i }, gateways: [{ time: "2026-01-31T07:00:00Z", rssi: -90 }] })))], { each: "none", time: "record", by: "value.device_id" }],
  ["ids in an array count beside other readings, but their times do not", records([{ up: 1, sensors: [{ id: "a", ts: seconds(0, 60_000), t: 1 }] }]), { each: "value.sensors", time: "record" }],
  ["elements without id and time are only offered", records([{ phases: [1, 2, 3], t: 4 }]), { each: "none", eaches: ["value.phases", "none"] }],
  ["an array of texts is not offered", records([{ tags: ["a", "b"], t: 4 }]), { eaches: ["none"] }],
  ["a payload time at the arrival is only offered", records(repeat(4, (i) => ({ ts: seconds(i), t: 1 }))), { time: "record", times: ["record", "value.ts"] }],
  ["a payload time before the arrival is chosen", records(repeat(4, (i) => ({ ts: seconds(i, 60_000), t: 1 }))), { time: "value.ts", newest: ARRIVAL - 57_000 }],
  ["a payload time may be a text", records(repeat(4, () => ({ measured: "2026-01-31T07:00:00+00:00", t: 1 }))), { time: "value.measured" }],
  ["a clock that is ahead is not chosen", records(repeat(4, (i) => ({ ts: seconds(i, -7_200_000), t: 1 }))), { time: "record" }],
  ["a large number is a time only under such a name", records(repeat(4, () => ({ bytes: 1_700_000_000 }))), { times: ["record"] }],
]) {
  test(name, () => {
    const shape = shapeOf(of);
    for (const [part, value] of Object.entries(expected)) assert.deepEqual(shape[part], value, part);
  });
}

for (const [name, values, expected] of [
  ["plain numbers are the field `value`", [1.5, 2, 1], { value: "number" }],
  ["a text can be a number with a unit", ["21.5 °C", "21.4 °C"], { value: "text-number °C" }],
  ["a member can be a number with a unit", [{ t: "80%" }, { t: "n/a" }, { t: "79%" }, { t: "79%" }], { "value.t": "text-number %" }],
  ["a version is no number", [{ firmware: "1.2" }], {}],
  ["booleans are states", [{ on: true }, { on: false }], { "value.on": "boolean" }],
  ["a text is a state by its name", [{ state: "running" }], { "value.state": "state" }],
  ["a text that changes and comes again is a state", ["open", "closed", "open", "closed"].map((lid) => ({ lid })), { "value.lid": "state" }],
  ["a text that never changes is not drawn", repeat(6, () => ({ place: "hall", t: 1 })), { "value.t": "number" }],
  ["log lines are not states", repeat(6, (i) => `line ${i}`), {}],
  ["dates are not states", repeat(6, (i) => ({ date: `2026-01-3${i % 2}` })), {}],
  ["a long text is no state", repeat(4, (i) => ({ state: "x".repeat(40 + (i % 2)) })), {}],
  ["a number that only grows is a counter", repeat(10, (i) => ({ energy: 100 + i })), { "value.energy": "counter" }],
  ["a number with the name of a counter is one at once", [{ bytes_total: 5 }, { bytes_total: 6 }, { bytes_total: 7 }], { "value.bytes_total": "counter" }],
  ["a counter may restart", repeat(30, (i) => ({ steps: i % 20 })), { "value.steps": "counter" }],
  ["a number that falls is no counter", [1, 2, 3, 4, 5, 6, 5].map((n) => ({ n })), { "value.n": "number" }],
  ["latitude and longitude are found by name", [{ gps: { lat: 52.5, lon: 13.4 } }], { "value.gps.lat": "latitude", "value.gps.lon": "longitude" }],
  ["a latitude is within 90 degrees", [{ lat: 120 }], { "value.lat": "number" }],
  ["names with special characters are quoted", [{ "air temperature": 1, "a.b": 2 }], { 'value["air temperature"]': "number", 'value["a.b"]': "number" }],
  ["a null says nothing", [{ t: null }, { t: 1 }], { "value.t": "number" }],
  ["times are no fields", [{ ts: seconds(0), t: 1 }], { "value.t": "number" }],
  ["ids are no fields", devices, { "value.temperature": "number" }],
]) {
  test(name, () => assert.deepEqual(kinds(shapeOf(records(values))), expected));
}

test("a counter only grows within each series", () => {
  const values = repeat(20, (i) => ({ steps: (i % 2) * 100 + 1000 + i }));
  assert.deepEqual(kinds(shapeOf(records(values, keyed(2)))), { "value.steps": "counter" });
  assert.deepEqual(kinds(shapeOf(records(values))), { "value.steps": "number" });
});

for (const [name, of, reason] of [
  ["Avro", [{ value: base64(0, 0, 0, 0, 7, 6, 0xff), encoding: "base64" }], "Avro, schema id 7"],
  ["Avro that is valid UTF-8", [{ value: "\0\0\0\u0001\u0002\u0006foo" }], "Avro, schema id 258"],
  ["Protobuf", [{ value: base64(0, 0, 0, 0, 9, 0, 8, 150, 1, 18, 1, 0xff), encoding: "base64" }], "Protobuf, schema id 9"],
  ["JSON Schema", [{ value: '\0\0\0\0\u0003{"t":1}' }], "JSON Schema, schema id 3"],
  ["bytes", [{ value: base64(...repeat(120, () => 0xfe)), encoding: "base64" }], "binary, 120 bytes"],
  ["compressed bytes", [{ value: base64(0x1f, 0x8b, 8, 0xff), encoding: "base64" }], "gzip, 4 bytes"],
  ["values without their schema", [{ value: base64(0, 0, 0, 0, 7), encoding: "base64", schema_error: "no schema 7" }], "not decoded: no schema 7"],
  ["text", [{ value: "hello" }], "text"],
  ["empty values", [{ value: "" }], "empty"],
  ["JSON with texts only", [{ value: { message: "hello" } }], "JSON without numbers or states"],
  ["numbers in an array only", [{ value: { phases: [1, 2] } }], "JSON with numbers only in an array"],
  ["some texts between numbers", [{ value: 1 }, { value: 2 }, { value: "starting" }], "text (1 of 3)"],
  ["tombstones", [{ value: null }], ""],
]) {
  test(`what is not drawn is described: ${name}`, () => {
    assert.equal(shapeOf(records(of.map(() => 0), (i) => of[i])).reason, reason);
  });
}

test("what the user chose is kept and offered", () => {
  const shape = shapeOf(records(devices, keyed(3)), { by: "value.id", each: "value.parts", time: "value.at" });
  assert.deepEqual([shape.by, shape.each, shape.time], ["value.id", "value.parts", "value.at"]);
  assert.deepEqual(shape.bys, ["key", "value.id", "none"]);
  assert.deepEqual(shape.found, { by: "key", each: "none", time: "record" });
  assert.deepEqual([shape.eaches, shape.times], [["value.parts", "none"], ["value.at", "record"]]);
  assert.equal(shapeOf(records([{ sensors: [{ id: "a", t: 1 }] }]), { each: "none" }).each, "none");
});

test("values without a time have no newest one", () => {
  const newest = (at) => shapeOf(records([{ at, t: 1 }]), { time: "value.at" }).newest;
  assert.deepEqual([newest("soon"), newest("2026-01-31T08:00:00Z")], [null, ARRIVAL]);
});

test("other texts and headers are offered as names of series", () => {
  const of = records(repeat(8, (i) => ({ site: `s-${i % 2}`, note: `n ${i}`, t: i })), (i) => ({ key: `k-${i % 4}`, headers: [{ name: "trace", value: String(i) }] }));
  assert.deepEqual(shapeOf(of).bys, ["key", "header:trace", "value.site", "none"]);
});

test("the question lists fields only beside states, or if some are texts", () => {
  const of = (values) => questionOf(shapeOf(records(values, keyed(1))));
  assert.deepEqual(of([{ t: 1, on: true, state: "ok" }]), { by: "key", each: "", time: "", fields: ["value.t"], states: ["value.on", "value.state"] });
  assert.deepEqual(of([{ t: 1 }]), { by: "key", each: "", time: "", fields: [], states: [] });
  assert.deepEqual(of([{ t: 1, u: "3 V" }]), { by: "key", each: "", time: "", fields: ["value.t", "value.u"], states: [] });
  assert.equal(questionOf(shapeOf(records([1]), { by: "none" })).by, "");
});

test("a position needs both parts in the same object", () => {
  const { fields } = shapeOf(records([{ lat: 1, from: { lat: 1, lng: 2 }, to: { lon: 3 } }]));
  assert.deepEqual(positionsOf(fields), [{ latitude: "value.from.lat", longitude: "value.from.lng" }]);
});

test("of an array at each, the first 256 elements are read, and an object there is the only element", () => {
  const leavesOf = (s) => collectLeaves([{ value: { s } }], "value.s");
  const sampled = ({ leaves, elements }) => [elements, [...leaves.values()].map(({ path, name, inElement, samples }) => [path, name, inElement, samples.length])];
  assert.deepEqual(sampled(leavesOf(Array(300).fill({ t: 1 }))), [256, [["value.s.t", "t", true, 256]]]);
  assert.deepEqual(sampled(leavesOf({ t: 1 })), [1, [["value.s.t", "t", true, 1]]]);
  assert.deepEqual(sampled(leavesOf([[1], null, { t: [2], u: null }])), [3, []]);
  assert.deepEqual(sampled(leavesOf(null)), [0, []]);
  assert.deepEqual([...collectLeaves([{ value: { s: [1], deep: [[{ a: [1] }], { b: [1] }] } }], "none").arrays], ["value.s", "value.deep"]);
});

test("texts are numbers by the rules of the server", () => {
  const table = [["21.5", 21.5, ""], [" -3 ", -3, ""], ["21.5 °C", 21.5, "°C"], ["80%", 80, "%"], ["1e3 W", 1000, "W"], ["12 euro", 12, "euro"], ["5.", 5, "."]];
  for (const [text, number, unit] of table) assert.deepEqual(numberIn(text), { number, unit }, text);
  for (const text of ["2026-01-31", "10.0.0.1", "12:30", "dev-1", "", ".5", "NaN", "1e999", "7 of the red machines", "0\0"]) assert.equal(numberIn(text), null, text);
});

test("times are seconds, milliseconds, microseconds, nanoseconds or RFC 3339", () => {
  const ms = 1_769_846_400_123;
  for (const value of [ms / 1000, ms, ms * 1000, String(ms), "2026-01-31T08:00:00.123Z", "2026-01-31T09:00:00.123+01:00"]) assert.equal(timeIn(value), ms, String(value));
  for (const value of ["", "yesterday", "2026-01-31T08:00:00", true, null]) assert.equal(timeIn(value), null, String(value));
});

test("a text is a time only if the server reads it as one", () => {
  for (const [text, time] of [["+5.", 5000], [".5e1", 5000], ["2024-02-29T00:00:00z", Date.UTC(2024, 1, 29)]]) assert.equal(timeIn(text), time, text);
  for (const text of ["0x10", "0b1", " 5", "5 ", "Infinity", "1e999"]) assert.equal(timeIn(text), null, text);
  for (const text of ["2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T08:00:60Z", "2026-01-31T08:00:00+24:00"]) assert.equal(timeIn(text), null, text);
});

test("paths are written as the server writes them", () => {
  for (const [name, path] of [["a", "value.a"], ["a b", 'value["a b"]'], ['c"d', 'value["c\\"d"]'], ["Lüfter-1", "value.Lüfter-1"]]) {
    assert.equal(join("value", name), path);
    assert.equal(parentOf(path), "value");
  }
});
