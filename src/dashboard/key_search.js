// Chooses the keys that a card lists: the first ones in natural order, with a search for the others.

import { el, setText } from "./dom.js";
import * as format from "./format.js";

/** Compares names, with the numbers in them by their size: m-2 before m-10. */
const naturalOrder = new Intl.Collator("en", { numeric: true }).compare;

/**
 * Returns the keys of a map in natural order. `before` is the result of the last call, which stays if the keys are the same:
 * sorting thousands of keys takes long.
 */
export function orderedKeys(keys, before) {
  const isSame = before.length === keys.size && before.every((key) => keys.has(key));
  return isSame ? before : [...keys.keys()].sort(naturalOrder);
}

export class KeySearch {
  /** Lists `most` keys. `omission` says of the others how they are shown. Calls `onChange()` when the user types. */
  constructor(label, { most, omission }, onChange) {
    this.most = most;
    this.omission = omission;
    this.order = [];
    this.input = el("input", { type: "search", class: "legend-search", placeholder: "Search keys", "aria-label": `${label}: search keys`, hidden: true, oninput: onChange });
    this.note = el("p", { class: "note", hidden: true });
  }

  /** Returns the keys to list. */
  choose(keys) {
    this.order = orderedKeys(keys, this.order);
    this.input.hidden = keys.size <= this.most;
    const wanted = this.input.hidden ? "" : this.input.value.toLowerCase();
    const found = this.order.filter((key) => key.toLowerCase().includes(wanted));
    this.note.hidden = found.length <= this.most;
    setText(this.note, `${format.count(found.length - this.most)} more keys are ${this.omission}; search to see them`);
    return found.slice(0, this.most);
  }
}
