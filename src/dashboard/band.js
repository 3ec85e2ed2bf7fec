// The band of many series: for each span of time the minimum, the median and the maximum of all of them.

/** A bucket is at least this many pixels wide. */
const BUCKET_PIXELS = 4;

/**
 * Returns the length of a bucket in ms: a multiple of the step, so that every bucket has as many points of a series, and long
 * enough that most series have a value in it.
 */
export function bucketLength(series, step, from, to, width) {
  const intervals = series.map(({ interval }) => interval).filter((interval) => interval > 0).sort((a, b) => a - b);
  const usual = intervals[intervals.length >> 1] ?? 0;
  const least = Math.max((BUCKET_PIXELS * (to - from)) / Math.max(1, width), usual, 1);
  return Math.ceil(least / step) * step;
}

/**
 * Returns the buckets between two times, each with `at` (its middle), `min`, `median`, `max` and `keys` (the number of
 * series with a value), or null for a bucket without values. The median is of the last value of each series. Buckets begin
 * at multiples of their length, so that they do not change while the window moves.
 */
export function bandOf(series, from, to, length) {
  const first = Math.floor(from / length);
  const buckets = Array.from({ length: Math.max(1, Math.floor(to / length) - first + 1) }, (_, i) => ({ at: (first + i + 0.5) * length, min: Infinity, max: -Infinity, lasts: [] }));
  for (const one of series) {
    let current = -1;
    for (let i = one.indexFrom(from); i < one.length && one.start[i] <= to; i += 1) {
      const index = Math.floor(one.start[i] / length) - first;
      const bucket = buckets[index];
      bucket.min = Math.min(bucket.min, one.min[i]);
      bucket.max = Math.max(bucket.max, one.max[i]);
      if (index === current) bucket.lasts[bucket.lasts.length - 1] = one.last[i];
      else bucket.lasts.push(one.last[i]);
      current = index;
    }
  }
  return buckets.map(({ at, min, max, lasts }) => (lasts.length === 0 ? null : { at, min, max, median: median(lasts), keys: lasts.length }));
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  // Halving avoids overflow: the sum of two doubles can be infinite.
  return sorted.length % 2 === 1 ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2;
}
