// The URL holds the state of the view, so a link shows the same view to another person.

import { DEFAULTS, formatNames, formatThresholds, href, parse, parseNames, parseThresholds } from "./query.js";

const listeners = new Set();

export let state = parse(location.search);

/** Changes parts of the state without a new history entry. */
export function replace(parts) {
  state = { ...state, ...parts };
  history.replaceState(null, "", href(state));
}

/** Changes parts of the state with a new history entry, and without opening another view. */
export function push(parts) {
  state = { ...state, ...parts };
  history.pushState(null, "", href(state));
}

/** Opens another view with a new history entry. */
function navigate(parts) {
  state = { ...DEFAULTS, ...parts };
  history.pushState(null, "", href(state));
  listeners.forEach((listener) => listener(state));
}

export function onNavigate(listener) {
  listeners.add(listener);
}

addEventListener("popstate", () => {
  state = parse(location.search);
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

export const thresholds = () => parseThresholds(state.over);

/** Sets the threshold of a field; null removes it. */
export function setThreshold(field, limit) {
  const all = thresholds();
  if (limit === null) all.delete(field);
  else all.set(field, limit);
  replace({ over: formatThresholds(all) });
}

/** Returns the names of the hidden cards. Those in `atFirst` are hidden unless the user shows them. */
export function hiddenFields(atFirst) {
  const shown = parseNames(state.show);
  return new Set([...[...atFirst].filter((name) => !shown.has(name)), ...parseNames(state.hide)]);
}

/** Shows or hides a card. */
export function setFieldShown(name, isShown, atFirst) {
  const [list, isListed] = atFirst.has(name) ? ["show", isShown] : ["hide", !isShown];
  const names = parseNames(state[list]);
  names[isListed ? "add" : "delete"](name);
  replace({ [list]: formatNames(names) });
}

/** The topics whose charts are on the page of another topic. */
export const alsoTopics = () => [...parseNames(state.also)];

export function setAlsoTopics(names) {
  replace({ also: formatNames(names) });
}

/** The fields that are shown as rates. */
export const rateFields = () => parseNames(state.rate);

export function setRateFields(names) {
  replace({ rate: formatNames(names) });
}
