// Numbers and times in texts, by the same rules as /series.

const NUMBER = /^([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)([^\d\p{Cc}]*)$/u;
/** In bytes, with the space before it. */
const MAX_UNIT = 16;
/** What Rust parses as a finite number: no spaces around it, and decimal digits only. */
const DECIMAL = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const encoder = new TextEncoder();

/** Returns the number at the beginning of a text and its unit: 21.5 and "°C" of "21.5 °C". Returns null for other texts. */
export function numberIn(text) {
  const match = NUMBER.exec(text.trim());
  if (!match || !Number.isFinite(Number(match[1])) || encoder.encode(match[2]).length > MAX_UNIT) return null;
  return { number: Number(match[1]), unit: match[2].trim() };
}

/** Returns the time in ms of a number: seconds, milliseconds, microseconds or nanoseconds, by its magnitude. */
function timeOf(number) {
  const size = Math.abs(number);
  const factor = size < 1e11 ? 1e3 : size < 1e14 ? 1 : size < 1e17 ? 1e-3 : size < 1e20 ? 1e-6 : NaN;
  // A double has about 15 digits, so the result may be slightly less than a whole millisecond.
  const time = Math.floor(number * factor + 1e-3);
  return Number.isFinite(time) ? time : null;
}

/** Returns the time in ms of a JSON value, or null if it is not a time. */
export function timeIn(value) {
  if (typeof value === "number") return timeOf(value);
  if (typeof value !== "string") return null;
  return DECIMAL.test(value) ? timeOf(Number(value)) : timeOfRfc3339(value);
}

function timeOfRfc3339(text) {
  const [, year, month, day, hour] = RFC_3339.exec(text) ?? [];
  // `Date.parse` accepts 24:00, and the 30th of February as a day in March.
  if (year === undefined || hour > 23 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return null;
  const time = Date.parse(text.replace(" ", "T"));
  return Number.isFinite(time) ? time : null;
}
