// Formats numbers, times and curl commands for people.

import { endpoint } from "./base.js";

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const atMostTwoDecimals = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
/** Formatters by their number of decimals. Creating one takes long, and axes are drawn many times a second. */
const withDecimals = Array.from({ length: 10 }, (_, digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayOnly = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" });

export const count = (number) => integer.format(number);

/** Formats a rate: 0.0 to 9.9, 10 to 9,999, then 10.0 k and 1.0 M. */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond < 10) return perSecond.toFixed(1);
  if (perSecond < 10_000) return integer.format(perSecond);
  return perSecond < 1e6 ? `${(perSecond / 1e3).toFixed(1)} k` : `${(perSecond / 1e6).toFixed(1)} M`;
}

/** Formats a number briefly, for legends and tables. Integers are exact as far as doubles are: up to 2^53. */
export function short(number) {
  const magnitude = Math.abs(number);
  if (Number.isSafeInteger(number)) return magnitude >= 1e4 ? integer.format(number) : String(number);
  if (magnitude < 1e-3 || magnitude >= 1e12) return number.toExponential(2).replace(/\.?0+e/, "e");
  return magnitude >= 1e4 ? atMostTwoDecimals.format(number) : String(Number(number.toPrecision(5)));
}

/** Formats the ticks of an axis, which are `step` apart, with as many digits as neighbours need to differ. */
export function tickLabels(values, step) {
  const largest = Math.max(...values.map(Math.abs), 0);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (digits < withDecimals.length && largest < 1e15) return values.map((value) => withDecimals[digits].format(value === 0 ? 0 : value));
  const significant = Math.min(16, Math.max(1, Math.ceil(Math.log10(largest / step)) + 1));
  return values.map((value) => value === 0 ? "0" : value.toExponential(significant - 1).replace(/(\.\d*?)0+e/, "$1e").replace(".e", "e"));
}

/** Formats a duration in ms with its largest unit, rounded: 15 s, 3 min, 2 h, 4 d. */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

const UNITS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];

/** Formats the length of a step exactly: 200 ms, 1 s, 5 min, 1 d. */
export function step(ms) {
  const [length, unit] = UNITS.find(([length]) => ms % length === 0) ?? [1, "ms"];
  return `${ms / length} ${unit}`;
}

/** Formats a number with the full precision of a double. */
export const exact = (number) => String(number);

/** Formats a time to the second, with the date unless it is today. */
export const moment = (ms) => (isToday(ms) ? clock.format(ms) : `${day.format(ms)} ${clock.format(ms)}`);

const isToday = (ms) => new Date(ms).toDateString() === new Date().toDateString();

/** Formats the tick of a time axis: the day at midnight and between days, otherwise the time of day. */
export function timeTick(ms, step) {
  const date = new Date(ms);
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (step >= 86_400_000 || isMidnight) return dayOnly.format(date);
  return step >= 60_000 ? minute.format(date) : clock.format(date);
}

export function timestamp(ms) {
  if (ms === null || ms === undefined) return "no timestamp";
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return `${ms} ms`;
  const date = new Date(ms);
  return `${day.format(date)} ${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Formats a time for the narrow column of the list: with the date, without milliseconds, unless it is today. */
export function listTime(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return "–";
  const date = new Date(ms);
  const text = `${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return isToday(ms) ? text : `${day.format(date)} ${clock.format(date)}`;
}

export function bytes(number) {
  if (number < 1024) return `${number} B`;
  return number < 1 << 20 ? `${(number / 1024).toFixed(1)} KiB` : `${(number / (1 << 20)).toFixed(1)} MiB`;
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const base64 = (text) => btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));
/** Whether a text can be a shell argument and a request body as it is: no control characters except tab and newline. */
const isPlainText = (text) => !/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text);
const isPlainHeader = (header) =>
  header.encoding === undefined && header.value !== null && /^[a-z0-9-]+$/.test(header.name) && /^[ -~]*$/.test(header.value);

/** Returns a curl command that produces the same record, byte for byte, including binary values and headers. */
export function curl(topic, record, value) {
  const url = endpoint(`topics/${topic}`);
  const key = record.key === null || record.key === undefined ? null : typeof record.key === "string" ? record.key : JSON.stringify(record.key);
  const isPlain = record.encoding === undefined && record.key_encoding === undefined && isPlainText(value ?? "") && record.headers.every(isPlainHeader);
  const query = key === null ? "" : `?key=${encodeURIComponent(key)}`;
  const headers = record.headers.map((h) => ` -H ${quote(`X-Kafka-${h.name}: ${h.value}`)}`).join("");
  if (record.value === null && isPlain && key !== null) return `curl -X DELETE${headers} ${quote(url + query)}`;
  if (record.value !== null && isPlain) {
    const type = typeof record.value === "string" ? "text/plain" : "application/json";
    return `curl -H 'Content-Type: ${type}'${headers} --data-binary ${quote(value)} ${quote(url + query)}`;
  }
  const envelope = envelopeOf(record, value);
  return `curl -H 'Content-Type: application/vnd.kafka.binary.v2+json' -d ${quote(JSON.stringify({ records: [envelope] }))} ${quote(url)}`;
}

/** Returns the record in the v2 binary envelope, which can hold any bytes. */
export function envelopeOf(record, value) {
  const keyText = typeof record.key === "string" ? record.key : JSON.stringify(record.key);
  const envelope = { value: record.value === null ? null : record.encoding ? record.value : base64(value) };
  if (record.key !== null && record.key !== undefined) envelope.key = record.key_encoding ? record.key : base64(keyText);
  if (Number.isInteger(record.partition)) envelope.partition = record.partition;
  if (record.headers?.length) {
    envelope.headers = record.headers.map((h) => ({ key: h.name, value: h.encoding ? h.value : base64(h.value ?? "") }));
  }
  return envelope;
}

/**
 * Returns a curl command that writes a first record to `topic`, or if that is null to any topic. Returns null if the client may not
 * write there. `session` is the answer of `GET /login`. With `-u NAME`, curl prompts for the password; a key or a token
 * works there, too.
 */
export function firstRecordCommand(root, { required, name, rights }, topic = null) {
  const target = rights ? writableTopic(rights.produce ?? [], topic) : (topic ?? "readings");
  if (target === null) return null;
  const login = required ? `-u ${quote((name ?? "NAME").replaceAll(":", ""))} ` : "";
  return `curl ${login}-d '{"temperature": 21.5}' ${quote(`${root}topics/${target}?key=boiler`)}`;
}

/** Returns `topic`, or if that is null a topic, `readings` if possible, if the patterns allow to write to it, otherwise null. */
function writableTopic(patterns, topic) {
  const allows = (name) => patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name));
  if (topic !== null) return allows(topic) ? topic : null;
  return allows("readings") ? "readings" : (patterns[0]?.replace(/\*$/, "readings") ?? null);
}
