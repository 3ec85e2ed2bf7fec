// The options of the menus that choose how a topic is read. Pure functions.

import { fieldLabel } from "./question.js";

/** The names of choices that are not paths. */
const NAMES = { by: { key: "key", none: "one series" }, each: { none: "record" }, time: { record: "arrival" } };

/** Returns the options of a menu as `[value, text]`. The first one, with an empty value, is the detected choice. */
export function optionsOf(name, choices, found) {
  const text = (choice) => NAMES[name][choice] ?? (choice.startsWith("header:") ? `header ${choice.slice("header:".length)}` : fieldLabel(choice));
  return [["", `${text(found)} (auto)`], ...choices.filter((choice) => choice !== found).map((choice) => [choice, text(choice)])];
}
