// Filters the entries of a list. Matches are kept, so each record is tested once.

import { textOf } from "./record.js";

const SLICE_MS = 8;

/** Returns a predicate for `{q, key, header, partition}`, or null if everything matches. */
export function createFilter({ q, key, header, partition }) {
  if (!q && !key && !header && !partition) return null;
  const text = q.toLowerCase();
  // JSON never escapes these characters, so a record without the text in its raw form needs no parsing.
  const isRawSearchable = /^[a-z0-9 _.,:-]*$/.test(text);
  const [name, value] = header.split(/:\s*(.*)/s);
  const wantedPartition = /^\d+$/.test(partition) ? Number(partition) : null;
  return (entry) => {
    if (wantedPartition !== null && entry.partition !== wantedPartition) return false;
    if (entry.kind === "gap") return !q && !key && !header;
    if (isRawSearchable && text && !entry.data.toLowerCase().includes(text)) return false;
    const record = entry.parse();
    if (key && textOf(record.key) !== key) return false;
    if (header && !record.headers.some((h) => h.name === name && (value === undefined || h.value === value))) return false;
    return !text || textOf(record.value).toLowerCase().includes(text) || textOf(record.key).toLowerCase().includes(text);
  };
}

export class FilteredList {
  /** `entries()` returns the array of entries, oldest first. `onChange()` is called after each slice of work. */
  constructor(entries, onChange) {
    this.entries = entries;
    this.onChange = onChange;
    this.test = null;
    this.matches = [];
  }

  get rows() {
    return this.test ? this.matches : this.entries();
  }

  /** Replaces the predicate and scans again, newest entries first, in slices that keep the page responsive. */
  setTest(test) {
    this.test = test;
    this.matches = [];
    clearTimeout(this.timer);
    if (test) this.scanOlder(this.entries().length);
    this.onChange();
  }

  scanOlder(end) {
    const deadline = performance.now() + SLICE_MS;
    const entries = this.entries();
    const found = [];
    let at = Math.min(end, entries.length);
    while (at > 0 && performance.now() < deadline) {
      at -= 1;
      if (this.test(entries[at])) found.push(entries[at]);
    }
    this.matches.unshift(...found.reverse());
    const oldest = entries[at]?.serial;
    if (found.length) this.onChange();
    if (at === 0) return;
    // Entries may be dropped before the next slice, so find the position again by serial number.
    this.timer = setTimeout(() => this.scanOlder(this.entries().findIndex((entry) => entry.serial >= oldest)));
  }

  /** Tests newly added entries and returns how many match. */
  add(entries) {
    if (!this.test) return entries.length;
    const found = entries.filter(this.test);
    this.matches.push(...found);
    return found.length;
  }

  /** Removes matches that were dropped from the list. */
  dropBefore(serial) {
    if (!this.test) return;
    const kept = this.matches.findIndex((entry) => entry.serial >= serial);
    this.matches.splice(0, kept < 0 ? this.matches.length : kept);
  }
}
