// The keyboard shortcuts of the page, and the dialog that lists them.

import { button, el } from "./dom.js";

/** By action: the keys of `KeyboardEvent.key`, how they are written, and what they do. */
const SHORTCUTS = {
  search: { keys: ["/"], shown: ["/"], text: "Search topics or records" },
  pause: { keys: [" "], shown: ["Space"], text: "Pause or resume" },
  zoomIn: { keys: ["+", "="], shown: ["+"], text: "Zoom in: a shorter window" },
  zoomOut: { keys: ["-"], shown: ["−"], text: "Zoom out: a longer window" },
  earlier: { keys: ["ArrowLeft"], shown: ["←"], text: "Move to an earlier time" },
  later: { keys: ["ArrowRight"], shown: ["→"], text: "Move to a later time" },
  live: { keys: ["l"], shown: ["l"], text: "Back to live" },
  produce: { keys: ["p"], shown: ["p"], text: "Produce a record" },
  help: { keys: ["?"], shown: ["?"], text: "Show these shortcuts" },
};
/** Keys that belong to a control while it has the focus. */
const CONTROLS = "input, textarea, select, button, summary, dialog, a";

/** Returns the action of a key, or null. Keys with a modifier belong to the browser; Shift only chooses the character. */
export function actionOf({ key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey) return null;
  return Object.keys(SHORTCUTS).find((action) => SHORTCUTS[action].keys.includes(key)) ?? null;
}

/** Calls `actions[action]()` for each shortcut. An action that returns false does not apply here. */
export function listenToKeys(actions) {
  addEventListener("keydown", (event) => {
    // Charts and lists use the arrow keys themselves.
    if (event.defaultPrevented || event.target.closest(CONTROLS)) return;
    const action = actionOf(event);
    if (action && actions[action]?.() !== false) event.preventDefault();
  });
}

export class ShortcutsDialog {
  constructor() {
    const rows = Object.values(SHORTCUTS).map(({ shown, text }) => el("tr", {}, el("th", { scope: "row" }, ...shown.map((key) => el("kbd", {}, key))), el("td", {}, text)));
    this.element = el("dialog", { class: "shortcuts", "aria-labelledby": "shortcuts-title" },
      el("header", {}, el("h2", { id: "shortcuts-title" }, "Keyboard shortcuts"), el("span", { class: "grow" }), button("Close", () => this.element.close(), { class: "small" })),
      el("table", {}, el("caption", { class: "offscreen" }, "Keys and what they do"), el("tbody", {}, ...rows)),
      el("p", { class: "note" }, "On a chart that has the focus, ← and → move through its values. Shift makes larger steps."));
    this.openButton = button("?", () => this.open(), { class: "small wide", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts" });
  }

  open() {
    if (!this.element.open) this.element.showModal();
  }
}
