// The rows of the overview: their order, their groups and their texts. Pure functions.

import * as format from "./format.js";
import { decodedLength, notDecoded, textOf } from "./record.js";

/** The orders by column. The first one of each column is chosen first. */
export const ORDERS = { name: ["", "name-down"], rate: ["rate", "rate-up"], last: ["last", "last-up"] };

const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
/** Compares numbers, largest first; an unknown number comes last. */
const byNumber = (number) => (a, b) => (number(b) ?? -Infinity) - (number(a) ?? -Infinity) || 0;
const knownFirst = (number) => (a, b) => (number(a) === null) - (number(b) === null);
const knownRate = (topic) => topic.rate ?? null;
const lastOf = (topic) => topic.last?.timestamp ?? null;

const COMPARE = {
  "": byName,
  "name-down": (a, b) => byName(b, a),
  "rate": byNumber(knownRate),
  "rate-up": (a, b) => knownFirst(knownRate)(a, b) || byNumber(knownRate)(b, a),
  "last": byNumber(lastOf),
  "last-up": (a, b) => knownFirst(lastOf)(a, b) || byNumber(lastOf)(b, a),
};

/** Returns the topics in the order of the URL. Topics that are equal in it are ordered by name. */
export function sortTopics(topics, order) {
  const compare = COMPARE[order] ?? byName;
  return topics.toSorted((a, b) => compare(a, b) || byName(a, b));
}

/** Returns the order after a click on the heading of a column: its first order, then its second one. */
export function nextOrder(order, column) {
  const [first, second] = ORDERS[column];
  return order === first ? second : first;
}

/** Returns the value of `aria-sort` of a column, or null if the topics are not sorted by it. */
export function ariaSort(order, column) {
  if (!ORDERS[column].includes(order)) return null;
  return (column === "name") === (order === ORDERS[column][0]) ? "ascending" : "descending";
}

/** Returns the part of a name up to its first `.`, `-` or `_`: `plant.` or `plant-`. */
export function prefixOf(name) {
  return /^[^._-]+[._-]/.exec(name)?.[0] ?? "";
}

/** Returns the topics as [prefix, topics] in the order of their first topics. Topics without a prefix that others share come last, as "". */
export function groupTopics(topics) {
  const groups = new Map();
  for (const topic of topics) {
    const prefix = prefixOf(topic.name);
    groups.set(prefix, [...(groups.get(prefix) ?? []), topic]);
  }
  const shared = [...groups].filter(([prefix, members]) => prefix !== "" && members.length > 1);
  const prefixes = new Set(shared.map(([prefix]) => prefix));
  const others = topics.filter(({ name }) => !prefixes.has(prefixOf(name)));
  return others.length > 0 ? [...shared, ["", others]] : shared;
}

/** Returns the sum of the known rates, or null if none is known. */
export function totalRate(topics) {
  const known = topics.map(knownRate).filter((rate) => rate !== null);
  return known.length > 0 ? known.reduce((sum, rate) => sum + rate, 0) : null;
}

const MAX_CHARACTERS = 300;

/** Returns `{ text, isNote }` for the newest record: its key and value, or the reason why it is missing. */
export function lastText(last) {
  if (last === undefined) return { text: "", isNote: true };
  if (last === null) return { text: "no records", isNote: true };
  if (last.problem) return { text: last.problem, isNote: true };
  const key = last.key === null ? "" : `${textOf(last.key)}${last.key_bytes ? "…" : ""}: `;
  return { text: key + valueStart(last), isNote: false };
}

function valueStart({ value, encoding, value_bytes: length, schema_error: error }) {
  if (error) return notDecoded(error);
  if (value === null) return "tombstone";
  if (encoding === "base64") return `${length ?? decodedLength(value)} bytes, base64 ${value}`.slice(0, MAX_CHARACTERS);
  const text = textOf(value);
  const start = text.slice(0, MAX_CHARACTERS);
  return length || start.length < text.length ? `${start}… (${format.bytes(length ?? text.length)})` : start;
}

/** Returns the age of a record, or its time if that is ahead of the clock of this machine. */
export function recordAge(timestamp, now) {
  if (timestamp === null || timestamp === undefined) return "–";
  return timestamp > now + 2000 ? format.listTime(timestamp) : `${format.duration(now - timestamp)} ago`;
}
