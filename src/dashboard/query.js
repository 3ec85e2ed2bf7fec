// The state of the view as a query string. Pure functions; `url.js` applies them to the browser's location.

export const DEFAULTS = {
  topic: "", window: "5m", from: "", to: "", by: "", each: "", time: "", rate: "", also: "", hide: "", show: "", over: "",
  q: "", key: "", header: "", partition: "", at: "", search: "", sort: "", group: "", closed: "",
};
/** The windows with their lengths in ms; "all" begins at the first record. */
export const WINDOWS = new Map([["1m", 60e3], ["5m", 300e3], ["15m", 900e3], ["1h", 3600e3], ["6h", 21600e3], ["24h", 86400e3], ["7d", 604800e3], ["all", null]]);

/** Parses `location.search`; missing parameters and an unknown window have their defaults. */
export function parse(search) {
  const query = new URLSearchParams(search);
  const values = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, query.get(name) ?? DEFAULTS[name]]));
  return WINDOWS.has(values.window) ? values : { ...values, window: DEFAULTS.window };
}

/** Returns a link to a view; omitted parts have their defaults. */
export function href(parts) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== "" && value !== DEFAULTS[name]) query.set(name, value);
  }
  const text = query.toString();
  return text ? `?${text}` : "./";
}

/** Parses `temperature:90,motor.rpm:3000`. Field names are percent-encoded. */
export function parseThresholds(text) {
  const pairs = text.split(",").filter(Boolean).map((pair) => pair.split(":"));
  return new Map(pairs.filter(([, limit]) => Number.isFinite(Number(limit))).map(([field, limit]) => [decode(field), Number(limit)]));
}

export function formatThresholds(thresholds) {
  return [...thresholds].map(([field, limit]) => `${encodeURIComponent(field)}:${limit}`).join(",");
}

/** Parses a list of percent-encoded field names, separated by commas. */
export function parseNames(text) {
  return new Set(text.split(",").filter(Boolean).map(decode));
}

export function formatNames(names) {
  return [...names].map(encodeURIComponent).join(",");
}

/** A link that was edited by hand may hold a `%` that encodes nothing. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
