// The points of one field and key in order of time. A point has the minimum, maximum, last value and count of one step.

const COLUMNS = ["start", "end", "min", "max", "last", "count"];
const INITIAL_CAPACITY = 16;
/** The usual interval is the median of this many newest points. */
const SAMPLE = 64;
/** Whether a silence is usual depends on this many points before and after it. */
const NEARBY = 8;
/** A silence breaks the line if it exceeds both this multiple of the usual time between two values and the minimum. */
const GAP_FACTOR = 3;
const MIN_GAP_MS = 1000;

export class Series {
  constructor() {
    this.length = 0;
    this.capacity = 0;
    /** Grows with every change, so that what is computed from the points can be kept. */
    this.version = 0;
    /** The usual time between two points in ms, 0 if unknown. */
    this.interval = 0;
    /** 1 if the line breaks before the point. */
    this.broken = new Uint8Array(0);
    for (const name of COLUMNS) this[name] = new Float64Array(0);
    this.grow(INITIAL_CAPACITY);
  }

  /**
   * Replaces the points that have the same time, and inserts the others. `points` are `[time, min, max, last, count]` in
   * order of time; `step` is the length of a point in ms.
   */
  merge(points, step) {
    if (points.length === 0) return;
    let added = 0;
    for (const [time] of points) if (!this.has(time)) added += 1;
    if (this.length + added > this.capacity) this.grow(Math.max(this.length + added, 2 * this.capacity));
    // Merges from the end, so that no point moves twice.
    let [from, to] = [this.length - 1, this.length + added - 1];
    for (let i = points.length - 1; i >= 0; i -= 1) {
      const [time, min, max, last, count] = points[i];
      while (from >= 0 && this.start[from] > time) this.move(from--, to--);
      if (from >= 0 && this.start[from] === time) from -= 1;
      this.start[to] = time;
      this.end[to] = time + step;
      this.min[to] = min;
      this.max[to] = max;
      this.last[to] = last;
      this.count[to] = count;
      to -= 1;
    }
    this.length += added;
    this.version += 1;
    this.findGaps(step, this.indexFrom(points[0][0]));
  }

  has(time) {
    const at = this.indexFrom(time);
    return at < this.length && this.start[at] === time;
  }

  move(from, to) {
    if (from === to) return;
    for (const name of COLUMNS) this[name][to] = this[name][from];
    this.broken[to] = this.broken[from];
  }

  grow(capacity) {
    for (const name of COLUMNS) {
      const larger = new Float64Array(capacity);
      larger.set(this[name].subarray(0, this.length));
      this[name] = larger;
    }
    const broken = new Uint8Array(capacity);
    broken.set(this.broken.subarray(0, this.length));
    this.broken = broken;
    this.capacity = capacity;
  }

  /**
   * Breaks the line where nothing was measured, from the point `changed` on. A series with several values per step has no empty
   * steps; one with a value every minute has many, and only a longer silence is a gap. What is usual depends on the points
   * nearby, because a device may change its interval.
   */
  findGaps(step, changed) {
    const first = Math.max(1, this.length - SAMPLE);
    this.interval = upperMedian(this.distances(first, this.length));
    const perStep = Math.max(1, upperMedian(this.count.slice(first - 1, this.length)));
    for (let i = Math.max(1, changed - NEARBY); i < this.length; i += 1) {
      const silence = this.start[i] - this.start[i - 1] - step;
      this.broken[i] = silence > MIN_GAP_MS && silence > (GAP_FACTOR * this.usualDistance(i)) / perStep ? 1 : 0;
    }
    this.broken[0] = 0;
  }

  /** Returns the median of the times between the points before and after `i`. */
  usualDistance(i) {
    return upperMedian(this.distances(Math.max(1, i - NEARBY), Math.min(this.length, i + NEARBY + 1)));
  }

  /** Returns the times from one point to the next, for the points `from` to `to`. */
  distances(from, to) {
    const distances = new Float64Array(Math.max(0, to - from));
    for (let i = from; i < to; i += 1) distances[i - from] = this.start[i] - this.start[i - 1];
    return distances;
  }

  /** Drops the points that begin before `time`. */
  dropBefore(time) {
    const dropped = this.indexFrom(time);
    if (dropped === 0) return;
    for (const name of COLUMNS) this[name].copyWithin(0, dropped, this.length);
    this.broken.copyWithin(0, dropped, this.length);
    this.length -= dropped;
    this.version += 1;
    this.broken[0] = 0;
  }

  /** Returns the index of the first point that begins at or after `time`. */
  indexFrom(time) {
    return search(this.start, this.length, (start) => start >= time);
  }

  /** Returns the index of the first point that ends after `time`. */
  indexAt(time) {
    return search(this.end, this.length, (end) => end > time);
  }

  /** Returns the current, minimum and maximum value of the steps that begin between two times, and the number of values. */
  summary(from, to) {
    let summary = null;
    for (let i = this.indexFrom(from); i < this.length && this.start[i] <= to; i += 1) {
      summary ??= { current: 0, min: Infinity, max: -Infinity, count: 0 };
      summary.current = this.last[i];
      summary.min = Math.min(summary.min, this.min[i]);
      summary.max = Math.max(summary.max, this.max[i]);
      summary.count += this.count[i];
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

  /** The middle of a step, where its point is drawn. */
  middle(i) {
    return this.start[i] / 2 + this.end[i] / 2;
  }
}

/** Returns the first index of a sorted column whose value passes the test. */
function search(column, length, test) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(column[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Returns the median, the larger one of two in the middle, and 0 without values. */
function upperMedian(values) {
  return values.length === 0 ? 0 : values.sort()[values.length >> 1];
}
