// The URL holds the state of the view, so a link shows the same view to another person.

const DEFAULTS = { topic: "", window: "5m", q: "", key: "", header: "", partition: "", hide: "", over: "", at: "", search: "" };
export const WINDOWS = new Map([["1m", 60e3], ["5m", 300e3], ["15m", 900e3], ["1h", 3600e3], ["6h", 21600e3]]);
const listeners = new Set();

function read() {
  const query = new URLSearchParams(location.search);
  const values = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, query.get(name) ?? DEFAULTS[name]]));
  return WINDOWS.has(values.window) ? values : { ...values, window: DEFAULTS.window };
}

export let state = read();

/** Returns a link to a view; omitted parts have their defaults. */
export function href(parts) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== "" && value !== DEFAULTS[name]) query.set(name, value);
  }
  const text = query.toString();
  return text ? `?${text}` : "./";
}

/** Changes parts of the state without a new history entry. */
export function replace(parts) {
  state = { ...state, ...parts };
  history.replaceState(null, "", href(state));
}

/** Opens another view with a new history entry. */
export function navigate(parts) {
  state = { ...DEFAULTS, ...parts };
  history.pushState(null, "", href(state));
  listeners.forEach((listener) => listener(state));
}

export function onNavigate(listener) {
  listeners.add(listener);
}

addEventListener("popstate", () => {
  state = read();
  listeners.forEach((listener) => listener(state));
});

/** Returns the properties of a link that changes the view without a page load, except into a new tab or window. */
export function link(parts) {
  return {
    href: href(parts),
    onclick(event) {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      navigate(parts);
    },
  };
}

export const windowMs = () => WINDOWS.get(state.window);

/** Reads `temperature:90,motor.rpm:3000` as a map. Field names are percent-encoded. */
export function thresholds() {
  const pairs = state.over.split(",").filter(Boolean).map((pair) => pair.split(":"));
  return new Map(pairs.filter(([, limit]) => Number.isFinite(Number(limit))).map(([field, limit]) => [decode(field), Number(limit)]));
}
export function setThreshold(field, limit) {
  const all = thresholds();
  if (limit === null) all.delete(field);
  else all.set(field, limit);
  replace({ over: [...all].map(([name, value]) => `${encode(name)}:${value}`).join(",") });
}
export const hiddenFields = () => new Set(state.hide.split(",").filter(Boolean).map(decode));
export function setHiddenFields(names) {
  replace({ hide: [...names].map(encode).join(",") });
}
const encode = (text) => encodeURIComponent(text);
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
