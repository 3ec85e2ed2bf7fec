// Reads the numbers of a record in the page, with the names, times and fields that /series gives them. The page needs
// this for the latest record of each key, which a series contains only if it is in the window.

import { walk } from "./leaves.js";
import { numberIn, timeIn } from "./number_text.js";
import { namesIn } from "./path.js";
import { headerOf } from "./record.js";

/** The most paths that `select=` accepts. */
const MAX_SELECTED = 32;
const MAX_SELECT_CHARACTERS = 1000;
/** The name of a number whose digits are not known. */
const UNKNOWN = Symbol("unknown");

/** Reads records for a question: `by`, `each`, `time`, and the paths in `fields` (all numbers if empty) and `states`. */
export class RecordReader {
  constructor({ by, each, time, fields, states }) {
    this.by = by || null;
    this.header = this.by?.startsWith("header:") ? this.by.slice("header:".length) : null;
    this.each = each || null;
    this.time = time && time !== "record" ? time : null;
    this.fields = fields?.length ? new Set(fields) : null;
    this.states = new Set(states ?? []);
    this.hasNames = this.states.size > 0 || isPath(this.by);
  }

  /** The value of `select=`: the parts of a record that `read` needs. */
  get select() {
    const paths = this.fields ? [...this.fields, ...this.states, this.by, this.time].filter(isPath) : ["value"];
    // Elements of an array have no path in `select=`, so the whole array is sent.
    const whole = paths.map((path) => (this.each && isWithin(path, this.each) ? this.each : path));
    const outer = [...new Set(whole)].filter((path) => !whole.some((other) => isWithin(path, other)));
    const quoted = outer.map((path) => `value${namesIn(path).map((name) => `[${JSON.stringify(name)}]`).join("")}`);
    const head = ["key", "timestamp", ...(this.header === null ? [] : ["headers"])];
    const select = [...head, ...quoted].join(",");
    const isAllowed = head.length + quoted.length <= MAX_SELECTED && select.length <= MAX_SELECT_CHARACTERS;
    return isAllowed ? select : [...head, "value"].join(",");
  }

  /** Returns the readings of a line of `select=` as `{ by, field, time, value }`. The value of a state is a text. */
  read(line) {
    const record = JSON.parse(line);
    if (record.value === null || record.encoding) return [];
    const newPart = () => ({ by: null, time: null, values: new Map() });
    const whole = newPart();
    const parts = new Map([[null, whole]]);
    const value = this.hasNames ? JSON.parse(line, exactInteger).value : record.value;
    walk(value, { each: this.each }, (leaf, path, name, element) => {
      if (!parts.has(element)) parts.set(element, newPart());
      this.readLeaf(leaf, path, parts.get(element));
    });
    const by = this.by === "key" ? keyText(line, record) : this.header !== null ? headerOf(record, this.header) : whole.by;
    const time = this.time ? whole.time : record.timestamp;
    return [...parts.values()].flatMap((part) => {
      const own = { by: part.by ?? by, time: part.time ?? time };
      return own.time === null || own.by === UNKNOWN ? [] : [...part.values].map(([field, value]) => ({ ...own, field, value }));
    });
  }

  readLeaf(leaf, path, part) {
    if (path === this.time) part.time = timeIn(typeof leaf === "bigint" ? Number(leaf) : leaf);
    if (path === this.by) part.by = nameOf(leaf);
    if (this.states.has(path)) {
      // Like /series: a number that is not an integer is a measurement.
      if (typeof leaf !== "number") part.values.set(path, String(leaf));
      return;
    }
    const isNumber = typeof leaf === "number" || typeof leaf === "bigint";
    const isRead = this.fields ? this.fields.has(path) : isNumber && path !== this.by && path !== this.time;
    const number = !isRead ? null : typeof leaf === "string" ? (numberIn(leaf)?.number ?? null) : Number(leaf);
    if (Number.isFinite(number)) part.values.set(path, number);
  }
}

const isPath = (text) => text !== null && namesIn(text) !== null;

function isWithin(path, other) {
  return path.startsWith(`${other}.`) || path.startsWith(`${other}[`);
}

/**
 * A reviver for `JSON.parse`: the integers that /series names by all of their digits, those of 64 bits, become BigInts. A
 * browser that does not pass the source of a number has only the digits of a double.
 */
function exactInteger(name, value, context) {
  if (typeof value !== "number") return value;
  const text = context?.source ?? (Number.isSafeInteger(value) ? String(value) : "");
  if (!/^(0|-?[1-9]\d{0,19})$/.test(text)) return value;
  const integer = BigInt(text);
  return integer >= -(2n ** 63n) && integer < 2n ** 64n ? integer : value;
}

/** Returns the name that a part of a value gives a series. /series writes a double with its fraction: `7.0`. */
function nameOf(leaf) {
  if (typeof leaf !== "number") return String(leaf);
  // Larger and smaller ones have an exponent, which the server writes in another way.
  const isPlain = Math.abs(leaf) <= Number.MAX_SAFE_INTEGER && (leaf === 0 || Math.abs(leaf) >= 1e-5);
  if (!isPlain || Object.is(leaf, -0)) return UNKNOWN;
  return Number.isInteger(leaf) ? `${leaf}.0` : String(leaf);
}

/** Returns the key as it was sent: a number has more digits than a double, and an object may have spaces. */
function keyText(line, { key }) {
  if (key === null || typeof key === "string") return key;
  const start = '{"key":'.length;
  for (let end = line.indexOf(',"timestamp":', start); end > 0; end = line.indexOf(',"timestamp":', end + 1)) {
    const text = line.slice(start, end);
    if (isJson(text)) return text;
  }
  return JSON.stringify(key);
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
