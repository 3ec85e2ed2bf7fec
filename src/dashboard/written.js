// How many records were written to a topic, at times in the last minutes, and the rates between these times.
//
// A sample is `{ at, written }`: the time in ms, and the sum of the end offsets of all partitions. Samples come from the
// bridge, which takes one about every 10 seconds, and from the polls of this page.

/** The span of the samples. */
export const SPAN_MS = 300_000;
/** Of the samples that are older than this, one of each interval is kept. */
const RECENT_MS = 20_000;
const INTERVAL_MS = 10_000;
/** Samples that are further apart say nothing about the rates between them. */
const GAP_MS = 25_000;
/** Between samples that are closer together, one burst of records would look like a high rate. */
const MIN_STEP_MS = 1500;
/** The current rate is an average over this time, to keep it steady between responses. */
const RATE_WINDOW_MS = 4000;

/** Returns the sum of the end offsets of a topic, or null if one of them is unknown. */
export function writtenTo(topic) {
  return topic.partitions.reduce((sum, p) => (sum === null || p.latest === null ? null : sum + p.latest), 0);
}

/** Adds a sample. Lower offsets mean that the topic was recreated. */
export function addSample(samples, sample) {
  const last = samples.at(-1);
  if (last && sample.at <= last.at) return samples;
  const all = last && sample.written < last.written ? [sample] : [...samples, sample];
  const interval = ({ at }) => Math.floor(at / INTERVAL_MS);
  return all.filter((one, i) => {
    const age = sample.at - one.at;
    const isFirst = i === 0 || interval(all[i - 1]) !== interval(one);
    return age <= SPAN_MS + INTERVAL_MS && (age < RECENT_MS || isFirst);
  });
}

/**
 * Puts the samples of the bridge in place of those of the same time. The bridge may have been restarted, so older samples of
 * this page stay, unless they are those of a deleted topic.
 */
export function mergeHistory(samples, history) {
  const [first] = history;
  if (!first) return samples;
  const earlier = samples.filter(({ at }) => at < first.at);
  return (earlier.at(-1)?.written ?? 0) <= first.written ? [...earlier, ...history] : history;
}

/** Returns the current rate in records per second, or null if it is unknown. */
export function currentRate(samples) {
  const now = samples.at(-1);
  const before = samples.findLast(({ at }) => now.at - at >= RATE_WINDOW_MS) ?? samples[0];
  if (!now || before === now || now.at - before.at > GAP_MS) return null;
  return rateBetween(before, now);
}

/** Returns the average rates between samples as [from, to, rate]. Where there is a gap, the rate is unknown. */
export function rateHistory(samples) {
  const rates = [];
  let before = samples[0];
  for (const now of samples) {
    if (now.at - before.at < MIN_STEP_MS) continue;
    if (now.at - before.at <= GAP_MS) rates.push([before.at, now.at, rateBetween(before, now)]);
    before = now;
  }
  return rates;
}

function rateBetween(before, now) {
  return ((now.written - before.written) * 1000) / (now.at - before.at);
}
