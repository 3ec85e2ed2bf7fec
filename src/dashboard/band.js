// The band of many series: for each span of time the minimum, the median and the maximum of all of them.

/** A bucket is at least this many pixels wide. */
const BUCKET_PIXELS = 4;

/** Returns how many buckets a window has, so that most series have a value in each bucket. */
export function bucketCount(series, from, to, width) {
  const intervals = series.map(({ interval }) => interval).filter((interval) => interval > 0).sort((a, b) => a - b);
  const usual = intervals[intervals.length >> 1] ?? 0;
  const most = Math.floor(width / BUCKET_PIXELS);
  return Math.max(1, Math.min(most, usual > 0 ? Math.floor((to - from) / (2 * usual)) : most));
}

/**
 * Returns the buckets between two times, each with `at` (its middle), `min`, `median`, `max` and `keys` (the number of
 * series with a value), or null for a bucket without values. The median is of the last value of each series.
 */
export function bandOf(series, from, to, count) {
  const length = (to - from) / count;
  const buckets = Array.from({ length: count }, (_, i) => ({ at: from + (i + 0.5) * length, min: Infinity, max: -Infinity, lasts: [] }));
  for (const one of series) {
    let current = -1;
    for (let i = one.indexAt(from); i < one.length && one.start[i] <= to; i += 1) {
      const index = Math.max(0, Math.min(count - 1, Math.floor((one.start[i] - from) / length)));
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
