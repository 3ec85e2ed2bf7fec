// The spans of a state timeline. Pure functions.

/**
 * Returns the spans of one key between two times: `{ from, to, state, hasChanged }`. `state` is the index of its name, and
 * `hasChanged` is true for a step in which the state changed; such a span has the last state of the step.
 *
 * A state lasts up to the next point, but not across a gap: after its last point, only the step itself was measured.
 */
export function spansOf(series, from, to) {
  const spans = [];
  const add = (start, end, state, hasChanged) => {
    const span = { from: Math.max(from, start), to: Math.min(to, end), state, hasChanged };
    if (span.to <= span.from) return;
    const before = spans.at(-1);
    const continues = before && before.to === span.from && before.state === state && !before.hasChanged && !hasChanged;
    if (continues) before.to = span.to;
    else spans.push(span);
  };
  // The state of a point before the window may last into it.
  for (let i = Math.max(0, series.indexAt(from) - 1); i < series.length && series.start[i] <= to; i += 1) {
    const isLast = i + 1 === series.length || series.broken[i + 1] === 1;
    const [stepEnd, end] = [series.end[i], isLast ? series.end[i] : series.start[i + 1]];
    const hasChanged = series.min[i] !== series.max[i];
    if (hasChanged) add(series.start[i], stepEnd, series.last[i], true);
    add(hasChanged ? stepEnd : series.start[i], end, series.last[i], false);
  }
  return spans;
}

/** Returns the span at a time, or null if nothing was measured then. */
export function spanAt(spans, time) {
  return spans.find((span) => time >= span.from && time < span.to) ?? null;
}

const FAULT = /^(alarm|alert|bad|broken|critical|dead|down|emergency|err|error|fail|failed|failure|fault|faulted|faulty|overheated|tripped)\b/i;
const REST = /^(closed|disabled|false|idle|inactive|no|none|off|offline|paused|standby|stopped|unknown)$/i;

/**
 * Returns how each state is drawn by its name: `{ weight, colour }`. The weight is `fault`, `rest` or `usual`, and the colour is
 * an index. Different states have different indexes as long as there are `colours` of them; those of faults are not used.
 */
export function stateLooks(names, colours) {
  const looks = new Map();
  const weightOf = (name) => (FAULT.test(name) ? "fault" : REST.test(name) ? "rest" : "usual");
  let [first, last] = [0, colours - 1];
  for (const name of names) {
    const weight = weightOf(name);
    // States of rest use the colours from the end.
    looks.set(name, { weight, colour: weight === "fault" ? 0 : weight === "rest" ? (last-- + colours * names.length) % colours : first++ % colours });
  }
  return looks;
}

/** Returns the latest state of each key up to a time: `{ name, end }`, where `end` is the end of its last measured step. */
export function statesNow(keys, to) {
  const now = new Map();
  for (const [key, { series, names }] of keys) {
    let at = series.length - 1;
    while (at >= 0 && series.start[at] > to) at -= 1;
    if (at >= 0) now.set(key, { name: names[series.last[at]], end: series.end[at] });
  }
  return now;
}
