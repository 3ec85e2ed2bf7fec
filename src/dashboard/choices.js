// The options of the menus of how a topic is read. Pure functions.

import { fieldLabel } from "./question.js";

/** What the choices are called that are no paths. */
const NAMES = { by: { key: "key", none: "one series" }, each: { none: "record" }, time: { record: "arrival" } };

/** Returns the options of a menu as `[value, text]`; the first one, without a value, is what was found. */
export function optionsOf(name, choices, found) {
  const text = (choice) => NAMES[name][choice] ?? (choice.startsWith("header:") ? `header ${choice.slice("header:".length)}` : choice.startsWith("value") ? fieldLabel(choice) : choice);
  return [["", `${text(found)} (found)`], ...choices.filter((choice) => choice !== found).map((choice) => [choice, text(choice)])];
}
