// The rates of counters, from the last values of consecutive points.

import { Series } from "./series.js";

const cache = new WeakMap();

/** Returns the series of the increase per second of a counter. It is computed again only after the counter has changed. */
export function rateOf(counter) {
  const known = cache.get(counter);
  if (known?.version === counter.version) return known.rates;
  const rates = computeRates(counter);
  cache.set(counter, { version: counter.version, rates });
  return rates;
}

/**
 * The rate of a point is the average since the previous point. The first point and those after a gap or a reset have no rate,
 * because the increase is unknown.
 */
function computeRates(counter) {
  const rates = new Series();
  const points = [];
  const breaks = [];
  for (let i = 1; i < counter.length; i += 1) {
    // A counter that was reset within a step may be above its previous value at the end of the step.
    const isReset = counter.min[i] < counter.last[i - 1] || counter.last[i] < counter.max[i];
    if (isReset || counter.broken[i]) {
      breaks.push(points.length);
      continue;
    }
    const rate = ((counter.last[i] - counter.last[i - 1]) * 1000) / (counter.start[i] - counter.start[i - 1]);
    points.push([counter.start[i], rate, rate, rate, counter.count[i]]);
  }
  rates.merge(points, counter.length > 0 ? counter.end[0] - counter.start[0] : 0);
  for (const at of breaks) if (at > 0 && at < rates.length) rates.broken[at] = 1;
  return rates;
}
