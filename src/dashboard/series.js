// A time series in bounded memory. Older data gets coarser but keeps its extremes.
//
// A point is a time span with its first, last, minimum and maximum value. A new record is a span of zero length. At
// the limit, neighbouring points in the older half are merged in pairs.

const COLUMNS = ["start", "end", "first", "last", "min", "max"];
const INITIAL_CAPACITY = 32;
/** A silence is a gap if it exceeds both this multiple of the usual interval and the minimum. */
const GAP_FACTOR = 6;
const MIN_GAP_MS = 3000;

export class Series {
  constructor() {
    this.length = 0;
    this.capacity = INITIAL_CAPACITY;
    for (const name of COLUMNS) this[name] = new Float64Array(this.capacity);
    /** 1 if the line breaks before the point. */
    this.broken = new Uint8Array(this.capacity);
    this.interval = 0;
  }

  /** Adds a value and keeps at most `maxPoints` points. */
  add(time, value, maxPoints) {
    if (this.length >= maxPoints) this.downsample();
    if (this.length === this.capacity) this.grow(Math.min(2 * this.capacity, Math.max(maxPoints, this.capacity + 1)));
    const at = this.insertionIndex(time);
    if (at < this.length) this.shift(at);
    this.start[at] = this.end[at] = time;
    this.first[at] = this.last[at] = this.min[at] = this.max[at] = value;
    this.broken[at] = at > 0 && this.observeInterval(time - this.end[at - 1]) ? 1 : 0;
    this.length += 1;
  }

  /** Breaks the line before the next point, because records are known to be missing. */
  breakNext() {
    this.breakPending = true;
  }

  /** Updates the usual interval; returns whether a gap ended. */
  observeInterval(elapsed) {
    const known = this.interval > 0;
    const gap = this.breakPending || (known && elapsed > Math.max(MIN_GAP_MS, GAP_FACTOR * this.interval));
    this.breakPending = false;
    // A moving average. The cap keeps a single gap from raising it much.
    const counted = known ? Math.min(elapsed, 4 * this.interval + 1) : elapsed;
    this.interval = known ? this.interval + (counted - this.interval) / 16 : Math.max(elapsed, 1);
    return gap;
  }

  /** Returns where a point belongs. Records are mostly in order, so the search starts at the end. */
  insertionIndex(time) {
    let at = this.length;
    while (at > 0 && this.start[at - 1] > time) at -= 1;
    return at;
  }

  shift(at) {
    for (const name of COLUMNS) this[name].copyWithin(at + 1, at, this.length);
    this.broken.copyWithin(at + 1, at, this.length);
  }

  grow(capacity) {
    for (const name of COLUMNS) {
      const larger = new Float64Array(capacity);
      larger.set(this[name]);
      this[name] = larger;
    }
    const broken = new Uint8Array(capacity);
    broken.set(this.broken);
    this.broken = broken;
    this.capacity = capacity;
  }

  /** Merges pairs of neighbours in the older half, but never across a gap. */
  downsample() {
    const half = this.length >> 1;
    let to = 0;
    for (let from = 0; from < this.length; to += 1) {
      this.copyPoint(from, to);
      from += 1;
      if (from < half && !this.broken[from]) {
        this.mergePoint(from, to);
        from += 1;
      }
    }
    this.length = to;
  }

  copyPoint(from, to) {
    for (const name of COLUMNS) this[name][to] = this[name][from];
    this.broken[to] = this.broken[from];
  }

  mergePoint(from, to) {
    this.end[to] = Math.max(this.end[to], this.end[from]);
    this.last[to] = this.last[from];
    this.min[to] = Math.min(this.min[to], this.min[from]);
    this.max[to] = Math.max(this.max[to], this.max[from]);
  }

  /** Returns the index of the first point that ends at or after `time`. */
  indexAt(time) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Returns the current, minimum and maximum value between two times, or null without values. */
  summary(from, to) {
    let summary = null;
    for (let i = this.indexAt(from); i < this.length && this.start[i] <= to; i += 1) {
      summary ??= { current: 0, min: Infinity, max: -Infinity };
      summary.current = this.last[i];
      summary.min = Math.min(summary.min, this.min[i]);
      summary.max = Math.max(summary.max, this.max[i]);
    }
    return summary;
  }

  /** Returns the index of the point nearest to `time`, or null if none is within `maxDistance` ms. */
  nearest(time, maxDistance) {
    const at = this.indexAt(time);
    const distance = (i) => (i < 0 || i >= this.length ? Infinity : Math.max(this.start[i] - time, time - this.end[i], 0));
    const index = distance(at - 1) <= distance(at) ? at - 1 : at;
    return distance(index) <= maxDistance ? index : null;
  }
}
