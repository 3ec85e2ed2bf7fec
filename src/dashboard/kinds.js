// Detects the kind of a field from its latest values.

import { numberIn } from "./number_text.js";

/** The share of a field's values that decides its kind. */
const MOST = 0.6;
/** A field with more texts is not a state. (The limit of the server is 32.) */
const MAX_STATES = 12;
const MAX_STATE_LENGTH = 32;
const STATE_NAME = /(^|[_-])(state|status|mode|phase|condition|health|alarm|running|door|power|switch|online|direction|level)$|(State|Status|Mode|Phase)$/i;
const VERSION_NAME = /version|firmware|revision/i;
const DATE = /^\d{4}-\d\d-\d\d/;
const LATITUDE = /^(lat|latitude)$/i;
const LONGITUDE = /^(lon|lng|long|longitude)$/i;
const COUNTER_NAME = /(count|counter|total|energy|wh|odometer|mileage|pulses|bytes|packets|uptime)$/i;
/** The least number of increases of a counter. */
const MIN_INCREASES = 5;

/**
 * Returns `{ kind, unit }` of a field, or null if it is not drawn. `groups` has the values of each series in order.
 *
 * The kinds are `number`, `counter` (a number that only grows), `latitude`, `longitude`, `text-number` (a text such as
 * "21.5 °C", with the unit), `boolean` and `state` (one of few short texts).
 */
export function kindOf(name, groups) {
  const values = groups.flat();
  const enough = values.length * MOST;
  const numbers = values.filter((value) => typeof value === "number");
  if (numbers.length >= enough) return { kind: numericKind(name, numbers, groups), unit: "" };
  if (values.filter((value) => typeof value === "boolean").length >= enough) return { kind: "boolean", unit: "" };
  const texts = values.filter((value) => typeof value === "string");
  if (texts.length < enough) return null;
  const parsed = texts.map(numberIn).filter((found) => found !== null);
  if (parsed.length >= enough) {
    const unit = mostCommon(parsed.map((found) => found.unit));
    return unit === "" && VERSION_NAME.test(name) ? null : { kind: "text-number", unit };
  }
  return isState(name, texts, groups) ? { kind: "state", unit: "" } : null;
}

function numericKind(name, numbers, groups) {
  const isWithin = (limit) => numbers.every((number) => Math.abs(number) <= limit);
  if (LATITUDE.test(name) && isWithin(90)) return "latitude";
  if (LONGITUDE.test(name) && isWithin(180)) return "longitude";
  const isNumber = (value) => typeof value === "number";
  return isCounter(name, groups.map((values) => values.filter(isNumber))) ? "counter" : "number";
}

/** Whether the values only grow, except for a few resets to less than half; with the name of a counter, for any resets. */
function isCounter(name, groups) {
  let [increases, resets, decreases] = [0, 0, 0];
  for (const values of groups) {
    for (let i = 1; i < values.length; i += 1) {
      if (values[i] < 0) return false;
      if (values[i] > values[i - 1]) increases += 1;
      else if (values[i] < values[i - 1] / 2) resets += 1;
      else if (values[i] < values[i - 1]) decreases += 1;
    }
  }
  if (COUNTER_NAME.test(name)) return increases > resets + decreases;
  return increases >= MIN_INCREASES && decreases === 0 && resets * 10 <= increases;
}

/** Texts are states if there are few of them, and if they change within a series or have the name of a state. */
function isState(name, texts, groups) {
  const distinct = new Set(texts);
  if (distinct.size > MAX_STATES || texts.some((text) => text === "" || text.length > MAX_STATE_LENGTH || DATE.test(text))) return false;
  if (STATE_NAME.test(name)) return true;
  // Under other names, texts are states only if they repeat, unlike lines of a log.
  return groups.some((values) => new Set(values).size > 1) && distinct.size * 2 <= texts.length;
}

/** Whether a value of a field of this kind is drawn. */
export function isDrawn(kind, value) {
  if (kind === "boolean") return typeof value === "boolean";
  if (kind === "state") return typeof value === "string";
  return typeof value === "number" || (kind === "text-number" && typeof value === "string" && numberIn(value) !== null);
}

function mostCommon(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best), ["", 0])[0];
}
