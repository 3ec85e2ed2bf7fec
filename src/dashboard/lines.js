// Chooses which keys of a field are drawn as lines. Many keys are drawn as a band, with the remarkable ones on top.

/** With more keys than this, the keys are drawn as a band. */
export const MAX_LINES = 24;

/**
 * Returns `{ isBand, drawn, aboveThreshold }`. `drawn` maps each key that gets a line to the reason (""  without a band);
 * `aboveThreshold` has the keys with a value above the threshold in the window, the highest first.
 *
 * `summaries` maps each key to `{ current, min, max }` in the window, or null without values. `toggled` are the keys that the
 * user pressed in the legend: hidden if every key has a line, drawn if there is a band.
 */
export function chooseLines(summaries, threshold, toggled) {
  const keys = [...summaries].filter(([, summary]) => summary !== null);
  const above = keys.filter(([, { max }]) => threshold !== undefined && max > threshold).sort(([, a], [, b]) => b.max - a.max);
  const aboveThreshold = above.map(([key]) => key);
  if (summaries.size <= MAX_LINES) {
    const drawn = [...summaries.keys()].filter((key) => !toggled.has(key));
    return { isBand: false, drawn: new Map(drawn.map((key) => [key, ""])), aboveThreshold };
  }
  const drawn = new Map();
  const add = (key, reason) => key !== undefined && drawn.size < MAX_LINES && !drawn.has(key) && drawn.set(key, reason);
  for (const key of toggled) add(key, "chosen");
  for (const key of aboveThreshold) add(key, "above threshold");
  const extreme = (isMore) => keys.reduce((found, one) => (!found || isMore(one[1], found[1]) ? one : found), undefined)?.[0];
  add(extreme((a, b) => a.max > b.max), "highest");
  add(extreme((a, b) => a.min < b.min), "lowest");
  return { isBand: true, drawn, aboveThreshold };
}
