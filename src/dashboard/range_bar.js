// The controls of the range of time: the windows, a form for any range, and a bar that says which fixed range is shown.

import { button, el, labelled, setText } from "./dom.js";
import * as format from "./format.js";
import { WINDOWS } from "./query.js";
import { rangeOf } from "./range.js";
import * as url from "./url.js";

const LABELS = new Map([["all", "All"]]);
const FIXED = "fixed";

export class RangeBar {
  /** `view` has the edges of the charts, and `zoomOut()`. Calls `onChange()` after the range in the URL has changed. */
  constructor(view, onChange) {
    this.view = view;
    this.onChange = onChange;
    this.fixedOption = el("option", { value: FIXED }, "Fixed range");
    this.windows = el("select", { id: "window", onchange: () => this.apply({ window: this.windows.value, from: "", to: "" }) },
      ...[...WINDOWS.keys()].map((name) => el("option", { value: name }, LABELS.get(name) ?? name)), this.fixedOption);
    const time = () => el("input", { type: "datetime-local", step: 1 });
    [this.fromInput, this.toInput] = [time(), time()];
    this.error = el("p", { class: "validation bad", role: "alert" });
    const form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } },
      labelled("From", this.fromInput), labelled("To (empty: now)", this.toInput), el("button", { class: "primary" }, "Show"), this.error);
    this.menu = el("details", { class: "menu", ontoggle: () => this.menu.open && this.fill() }, el("summary", {}, "Range"), el("fieldset", {}, el("legend", {}, "Range of time"), form));
    this.text = el("span");
    this.bar = el("div", { class: "browse range-bar", role: "group", "aria-label": "Range of time" }, this.text, el("span", { class: "grow" }),
      button("Zoom out", () => this.view.zoomOut(), { class: "small" }),
      button("Back to live", () => this.apply({ from: "", to: "" }), { class: "small strong", id: "back-to-live" }));
    this.controls = [labelled("Window", this.windows, { class: "field inline" }), this.menu];
    this.update();
  }

  /** Shows another range, as a new entry of the browser's history. */
  apply(range) {
    url.push(range);
    this.update();
    this.onChange();
  }

  /** Shows the range in the URL. */
  update() {
    const range = rangeOf(url.state);
    const isFixed = range.window === null;
    this.fixedOption.hidden = !isFixed;
    this.windows.value = isFixed ? FIXED : range.window;
    this.bar.hidden = !isFixed;
    if (isFixed) setText(this.text, rangeText(range));
  }

  fill() {
    const { from, to } = this.view;
    setText(this.error, "");
    this.fromInput.value = localTime(from);
    this.toInput.value = this.view.isMoving ? "" : localTime(to);
  }

  submit() {
    const from = Date.parse(this.fromInput.value);
    const to = this.toInput.value === "" ? null : Date.parse(this.toInput.value);
    if (!Number.isFinite(from)) return setText(this.error, "Enter the time at which the range begins.");
    if (to !== null && !(to > from)) return setText(this.error, "The range must end after it begins.");
    if (to === null && from >= Date.now()) return setText(this.error, "The range must begin before now.");
    this.menu.open = false;
    this.apply({ from: String(from), to: to === null ? "" : String(to) });
  }
}

function rangeText({ from, to }) {
  return to === null ? `From ${format.moment(from)}, live` : `${format.moment(from)} to ${format.moment(to)} (${format.duration(to - from)}), not live`;
}

/** Formats a time for an input of type `datetime-local`: local time, to the second. */
function localTime(ms) {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
