// Detects from the latest records of a topic how to draw it: its fields, the source of the series names, arrays of readings, and
// the time of the values. Pure functions.

import { describeValue } from "./encoding.js";
import { isDrawn, kindOf } from "./kinds.js";
import { collectLeaves } from "./leaves.js";
import { timeIn } from "./number_text.js";
import { parentOf } from "./path.js";
import { headerOf, textOf } from "./record.js";

/** Names of devices, the most specific first. Names are compared in lower case, without `_` and `-`. */
const ID_NAMES = [
  "id", "deviceid", "sensorid", "machineid", "assetid", "nodeid", "stationid", "unitid", "device", "sensor", "machine", "asset", "node",
  "station", "serial", "serialnumber", "mac", "macaddress", "deveui", "imei", "vin", "vehicle", "host", "hostname", "name", "tag", "source", "n",
];
/** Integers are names of series only in members with such a name. */
const NUMERIC_ID = /id$|serial|imei/i;
const TIME_NAME = /^(t|ts|at|time|timestamp|date|datetime|utc|epoch|created|measured|sampled|recorded|observed)$|(time|stamp|[a-z]At|_at|_ts|_date)$/;
/** Random or counted ids, which identify messages and not devices. */
const MESSAGE_ID = /^(\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{24,})$/i;
const MIN_UNIQUE = 3;
/** The share of records that must have an id or a valid time. */
const NEARLY_ALL = 0.9;
const MAX_CHOICES = 12;
const MAX_SERIES_NAMES = 256;
/** With this many different keys, which are used once each, the key is not a name of series. */
const MANY_KEYS = 20;
/** Times in the value are preferred if the share `SOME` of them is more than this before the arrival. */
const CLEAR_DIFFERENCE_MS = 10_000;
const SOME = 0.1;
const EARLIEST = Date.UTC(2001, 0);
const LATEST = Date.UTC(2100, 0);
/** The server's limit. */
const MAX_LISTED = 32;

/**
 * Returns the shape `{ by, each, time, fields, aside, found, bys, eaches, times, reason, newest }` of records in the format
 * `record`.
 *
 * - `fields`: `{ path, kind, unit }` of each drawable field, see `kindOf`.
 * - `aside`: the paths of numbers that are ids or times.
 * - `by`, `each`, `time`: parameters of /series, from `chosen` or else from `found`, the detected ones. `none` stands for one
 *   series per field and for no array, and `record` for the time of arrival.
 * - `bys`, `eaches`, `times`: the alternatives.
 * - `reason`: describes the values without a drawable field; empty if there are none.
 * - `newest`: the newest time in the values; null without one, and for the time of arrival.
 */
export function shapeOf(records, chosen = {}) {
  const ordered = [...records].sort((a, b) => a.partition - b.partition || a.offset - b.offset).filter(({ value }) => value !== null);
  const { arrays } = collectLeaves(ordered, null);
  const arrayParts = new Map([...arrays].map((path) => [path, partsOf(ordered, path)]));
  const eaches = [...arrays].filter((path) => arrayParts.get(path).elementFields > 0);
  const foundEach = eaches.find((path) => arrayParts.get(path).isEach) ?? "none";
  const each = chosen.each || foundEach;
  const parts = arrayParts.get(each) ?? partsOf(ordered, each);
  const found = { by: foundBy(ordered, parts), each: foundEach, time: foundTime(ordered, parts) };
  const by = chosen.by || found.by;
  const time = chosen.time || found.time;
  const nameOf = namer(ordered, parts, by);
  const fields = [];
  for (const leaf of parts.leaves.values()) {
    if (leaf.path === by || parts.ids.includes(leaf) || parts.times.includes(leaf)) continue;
    const kind = kindOf(leaf.name, grouped(leaf.samples, nameOf));
    if (kind) fields.push({ path: leaf.path, ...kind });
  }
  const keys = ordered.some(({ key }) => isPresent(key)) ? ["key"] : [];
  const aside = [...parts.ids, ...parts.times].filter(({ path, samples }) => path !== by && path !== time && typeof samples[0].value === "number");
  return {
    by, each, time, fields, found,
    aside: aside.map(({ path }) => path),
    bys: including(by, [...keys, ...parts.ids.map(({ path }) => path), ...headersOf(ordered).map((name) => `header:${name}`), ...namesIn(parts), "none"]),
    eaches: including(each, [...eaches, "none"]),
    times: including(time, ["record", ...parts.times.map(({ path }) => path)]),
    reason: reasonOf(ordered, parts, fields, eaches),
    newest: parts.leaves.get(time)?.samples.reduce((newest, { value }) => Math.max(newest, timeIn(value) ?? newest), 0) || null,
  };
}

/**
 * Returns the parameters of /series for a shape. Without fields, it reads every number, but no numbers in texts; beside
 * states, it only reads listed fields.
 */
export function questionOf({ by, each, time, fields }) {
  const given = (choice, fallback) => (choice === fallback ? "" : choice);
  const isState = ({ kind }) => kind === "state" || kind === "boolean";
  const numeric = fields.filter((field) => !isState(field));
  const states = fields.filter(isState);
  const listed = states.length > 0 || numeric.some(({ kind }) => kind === "text-number") ? numeric : [];
  const paths = (some) => some.slice(0, MAX_LISTED).map(({ path }) => path);
  return { by: given(by, "none"), each: given(each, "none"), time: given(time, "record"), fields: paths(listed), states: paths(states) };
}

/** Returns the question about a topic before its shape is known. `chosen` has the choices in the URL. */
export function questionWithoutShape({ by, each, time }) {
  return questionOf({ by: by || "key", each: each || "none", time: time || "record", fields: [] });
}

/** Returns the pairs of latitude and longitude in the same object. */
export function positionsOf(fields) {
  const longitudes = fields.filter(({ kind }) => kind === "longitude");
  return fields.filter(({ kind }) => kind === "latitude").flatMap(({ path }) => {
    const longitude = longitudes.find((one) => parentOf(one.path) === parentOf(path));
    return longitude ? [{ latitude: path, longitude: longitude.path }] : [];
  });
}

/** Returns the leaves with the array at `each` read element by element, and the ids and times among them. */
function partsOf(records, each) {
  const { leaves, elements } = collectLeaves(records, each);
  const total = (leaf) => (leaf.inElement ? elements : records.length);
  const isNearlyEverywhere = (leaf) => leaf.samples.length >= NEARLY_ALL * total(leaf);
  const all = [...leaves.values()];
  const times = all.filter(isTime);
  const rank = (leaf) => ID_NAMES.indexOf(leaf.name.toLowerCase().replace(/[_-]/g, ""));
  const isId = (leaf) => rank(leaf) >= 0 && isNearlyEverywhere(leaf) && isName(leaf) && !isUnique(leaf.samples.map(({ value }) => value));
  const ids = all.filter((leaf) => !times.includes(leaf) && isId(leaf)).sort((a, b) => b.inElement - a.inElement || rank(a) - rank(b));
  const drawable = all.filter((leaf) => !ids.includes(leaf) && !times.includes(leaf) && kindOf(leaf.name, [leaf.samples.map(({ value }) => value)]) !== null);
  const elementFields = drawable.filter((leaf) => leaf.inElement).length;
  const recordFields = drawable.length - elementFields;
  // Elements with ids are separate readings. Those with times are, too, unless they accompany other readings.
  const isEach = ids.some((leaf) => leaf.inElement) || (recordFields === 0 && times.some((leaf) => leaf.inElement));
  return { leaves, times, ids, elementFields, recordFields, isEach };
}

/** Whether the texts or integers of a leaf can be names of series. */
function isName({ name, samples }) {
  const isText = (value) => typeof value === "string" && value !== "" && value.length <= 100;
  return samples.every(({ value }) => isText(value) || (NUMERIC_ID.test(name) && Number.isSafeInteger(value)));
}

/** Whether the values are ids of messages: all different, and random or counted. */
function isUnique(values) {
  return values.length >= MIN_UNIQUE && new Set(values).size === values.length && values.every((value) => MESSAGE_ID.test(String(value)));
}

function isTime({ name, samples }) {
  const isText = typeof samples[0].value === "string" && Number.isNaN(Number(samples[0].value));
  if (!isText && !TIME_NAME.test(name)) return false;
  const plausible = samples.filter(({ value }) => isPlausible(timeIn(value)));
  return plausible.length >= NEARLY_ALL * samples.length;
}

const isPlausible = (time) => time !== null && time > EARLIEST && time < LATEST;

function foundBy(records, { ids }) {
  const inElements = ids.find((leaf) => leaf.inElement);
  if (inElements) return inElements.path;
  const [id] = ids;
  const header = headersOf(records).find((name) => ID_NAMES.includes(name.toLowerCase().replace(/[_-]|^x-/g, "")));
  const better = id?.path ?? (header && `header:${header}`);
  const keys = records.map(({ key }) => key).filter(isPresent);
  if (keys.length < records.length / 2) return better ?? "key";
  const isConstant = new Set(keys.map(textOf)).size === 1 && id && new Set(id.samples.map(({ value }) => value)).size > 1;
  if (isConstant || (better && isUnique(keys))) return better;
  return keys.length >= MANY_KEYS && isUnique(keys) ? "none" : "key";
}

/** Returns the path of a time that clearly differs from the arrival, or `record`. */
function foundTime(records, { times, recordFields }) {
  for (const { path, inElement, samples } of [...times].sort((a, b) => b.inElement - a.inElement)) {
    // The elements of a record arrive at once, so they need their own times. Fields outside of them do not have these times.
    if (inElement && recordFields > 0) continue;
    if (inElement) return path;
    // A time after the arrival comes from a wrong clock.
    const differs = ({ value, record }) => records[record].timestamp - timeIn(value) > CLEAR_DIFFERENCE_MS;
    if (samples.filter(differs).length >= SOME * samples.length) return path;
  }
  return "record";
}

/** Returns a function that returns the name of a sample's series. */
function namer(records, { leaves }, by) {
  const samples = leaves.get(by)?.samples;
  if (samples) {
    const names = new Map(samples.map(({ value, record, element }) => [`${record} ${element}`, String(value)]));
    return ({ record, element }) => names.get(`${record} ${element}`) ?? names.get(`${record} null`) ?? "";
  }
  if (by === "key") return ({ record }) => textOf(records[record].key);
  if (!by.startsWith("header:")) return () => "";
  const header = by.slice("header:".length);
  return ({ record }) => headerOf(records[record], header) ?? "";
}

function grouped(samples, nameOf) {
  const groups = new Map();
  for (const sample of samples) {
    const name = nameOf(sample);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(sample.value);
  }
  return [...groups.values()];
}

/** Returns the headers that most records have. */
function headersOf(records) {
  const counts = new Map();
  for (const { headers = [] } of records) for (const name of new Set(headers.map((header) => header.name))) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].filter(([, count]) => count >= records.length / 2).map(([name]) => name).slice(0, MAX_CHOICES);
}

/** Returns the paths of other possible names of series: texts and numeric ids with few different values. */
function namesIn({ leaves, ids, times }) {
  const isChoice = (leaf) => {
    if (ids.includes(leaf) || times.includes(leaf) || !isName(leaf)) return false;
    const distinct = new Set(leaf.samples.map(({ value }) => value)).size;
    return distinct <= MAX_SERIES_NAMES && distinct * 2 <= leaf.samples.length;
  };
  return [...leaves.values()].filter(isChoice).map(({ path }) => path).slice(0, MAX_CHOICES);
}

const isPresent = (key) => key !== null && key !== undefined && key !== "";
const including = (choice, all) => [...new Set(all.includes(choice) ? all : [choice, ...all])];

/** Describes the values without a drawable field. */
function reasonOf(records, { leaves }, fields, eaches) {
  const isDrawnAs = (kind) => ({ value }) => isDrawn(kind, value);
  const drawn = new Set(fields.flatMap(({ path, kind }) => leaves.get(path).samples.filter(isDrawnAs(kind)).map(({ record }) => record)));
  const counts = new Map();
  records.forEach((record, i) => {
    if (drawn.has(i)) return;
    const what = eaches.length > 0 && typeof record.value === "object" ? "JSON with numbers only in an array" : describeValue(record);
    counts.set(what, (counts.get(what) ?? 0) + 1);
  });
  const common = [...counts].sort((a, b) => b[1] - a[1]);
  if (common.length === 0) return "";
  const kinds = common.slice(0, 2).map(([what, count]) => (count === records.length ? what : `${what} (${count} of ${records.length})`));
  return kinds.join(", ") + (common.length > 2 ? ` and ${common.length - 2} more kinds` : "");
}
