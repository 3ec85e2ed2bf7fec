// The menus that choose how a topic is read: the source of the series names, the array, the time, and the fields to show as
// rates. By default, the page detects them; a choice is kept in the URL.

import { optionsOf } from "./choices.js";
import { el, labelled, setText } from "./dom.js";
import { fieldLabel } from "./question.js";
import * as url from "./url.js";

const MENUS = [
  { name: "by", label: "Series by", choices: "bys" },
  { name: "each", label: "Each", choices: "eaches" },
  { name: "time", label: "Time", choices: "times" },
];

export class Chooser {
  /** Calls `onQuestion()` when the series have to be read in another way, and `onRates()` when the choice of rates has changed. */
  constructor(onQuestion, onRates) {
    this.onRates = onRates;
    this.menus = MENUS.map(({ name, label, choices }) => {
      const select = el("select", { id: `choose-${name}`, onchange: () => { url.replace({ [name]: select.value }); onQuestion(); } });
      return { name, choices, select, shown: "", element: labelled(label, select, { class: "field inline", hidden: true }) };
    });
    this.rateLabel = el("summary", {}, "Rate");
    this.rateList = el("fieldset", {}, el("legend", {}, "Show the increase per second of"));
    this.rateMenu = el("details", { class: "menu", hidden: true }, this.rateLabel, this.rateList);
    this.rateFields = "";
    this.elements = [...this.menus.map(({ element }) => element), this.rateMenu];
  }

  /** Offers the choices of a shape. */
  update(shape) {
    for (const menu of this.menus) this.updateMenu(menu, shape);
    this.updateRates(shape.fields);
  }

  updateMenu(menu, shape) {
    const options = optionsOf(menu.name, shape[menu.choices], shape.found[menu.name]);
    const isUsual = menu.name === "by" && shape.by === "key" && shape.bys.every((by) => by === "key" || by === "none");
    menu.element.hidden = options.length < 2 || isUsual;
    const key = JSON.stringify(options);
    // An open menu closes when its options are replaced.
    if (key !== menu.shown) menu.select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    menu.shown = key;
    const chosen = url.state[menu.name];
    menu.select.value = chosen === shape.found[menu.name] ? "" : chosen;
  }

  /** Lists the numbers, counters first. The menu is hidden without counters and rates. */
  updateRates(fields) {
    const rates = url.rateFields();
    const numbers = fields.filter(({ kind }) => ["counter", "number", "text-number"].includes(kind));
    const ordered = [...numbers.filter(({ kind }) => kind === "counter"), ...numbers.filter(({ kind }) => kind !== "counter")];
    const names = [...new Set([...ordered.map(({ path }) => fieldLabel(path)), ...rates])];
    this.rateMenu.hidden = rates.size === 0 && !numbers.some(({ kind }) => kind === "counter");
    setText(this.rateLabel, rates.size > 0 ? `Rate ${rates.size}` : "Rate");
    const key = JSON.stringify(names);
    if (key === this.rateFields) return;
    this.rateFields = key;
    this.rateList.replaceChildren(this.rateList.firstChild, ...names.map((name) => {
      const box = el("input", { type: "checkbox", checked: rates.has(name), onchange: () => this.setRate(name, box.checked) });
      return el("label", {}, box, el("bdi", {}, name));
    }));
  }

  setRate(name, isRate) {
    const rates = url.rateFields();
    if (isRate) rates.add(name);
    else rates.delete(name);
    url.setRateFields(rates);
    setText(this.rateLabel, rates.size > 0 ? `Rate ${rates.size}` : "Rate");
    this.onRates();
  }
}
