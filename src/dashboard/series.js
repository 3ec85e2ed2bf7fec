// A number over time, in bounded memory: what is older is kept coarser, and never loses its extremes.
//
// A point is a span of time with its first, last, least and greatest value. A new record is a span of one
// instant. When there is no room, neighbours in the older half are joined two by two.

const COLUMNS = ["start", "end", "first", "last", "min", "max"];
const INITIAL_CAPACITY = 256;
/** A silence longer than this many usual pauses is a gap, and at least so many ms. */
const GAP_FACTOR = 6;
const MIN_GAP_MS = 3000;

export class Series {
  constructor() {
    this.length = 0;
    this.capacity = INITIAL_CAPACITY;
    for (const name of COLUMNS) this[name] = new Float64Array(this.capacity);
    /** 1 where the line is broken before the point. */
    this.broken = new Uint8Array(this.capacity);
    this.interval = 0;
  }

  /** Adds a value; `most` points may be kept. */
  add(time, value, maxPoints) {
    if (this.length >= maxPoints) this.compact();
    if (this.length === this.capacity) this.grow(Math.min(2 * this.capacity, Math.max(maxPoints, this.capacity + 1)));
    const at = this.insertionIndex(time);
    if (at < this.length) this.shift(at);
    this.start[at] = this.end[at] = time;
    this.first[at] = this.last[at] = this.min[at] = this.max[at] = value;
    this.broken[at] = at > 0 && this.observeInterval(time - this.end[at - 1]) ? 1 : 0;
    this.length += 1;
  }

  /** The line is broken from here on: something is known to be missing. */
  breakNext() {
    this.breakPending = true;
  }

  observeInterval(elapsed) {
    const known = this.interval > 0;
    const gap = this.breakPending || (known && elapsed > Math.max(MIN_GAP_MS, GAP_FACTOR * this.interval));
    this.breakPending = false;
    // The usual pause follows slowly, and a gap does not move it much.
    const counted = known ? Math.min(elapsed, 4 * this.interval + 1) : elapsed;
    this.interval = known ? this.interval + (counted - this.interval) / 16 : Math.max(elapsed, 1);
    return gap;
  }

  /** Where a point of this time belongs: mostly at the end. */
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

  /** Joins neighbours of the older half two by two, but not over a gap. */
  compact() {
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

  /** The first point that ends at or after `time`. */
  indexAt(time) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Current, least and greatest value within a time; null where there is none. */
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

  /** The point nearest to `time`, or null if none is within `reach` ms. */
  nearest(time, maxDistance) {
    const at = this.indexAt(time);
    const distance = (i) => (i < 0 || i >= this.length ? Infinity : Math.max(this.start[i] - time, time - this.end[i], 0));
    const index = distance(at - 1) <= distance(at) ? at - 1 : at;
    return distance(index) <= maxDistance ? index : null;
  }
}
