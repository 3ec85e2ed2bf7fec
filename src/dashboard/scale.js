// Maps values and times to pixels, and chooses round numbers for the axes.

/** A linear scale. Halving avoids overflow: the difference of two doubles can be infinite. */
export class Scale {
  constructor(low, high, from, to) {
    Object.assign(this, { low, high, from, to });
  }

  toPixel(value) {
    const fraction = (value / 2 - this.low / 2) / (this.high / 2 - this.low / 2);
    return this.from + fraction * (this.to - this.from);
  }

  toValue(pixel) {
    const fraction = (pixel - this.from) / (this.to - this.from);
    return this.low * (1 - fraction) + this.high * fraction;
  }
}

/** Returns the range with a margin on both sides; never empty. */
export function padded(low, high) {
  if (low === high) {
    const margin = Math.abs(low) * 0.1 || 1;
    return [clamp(low - margin), clamp(high + margin)];
  }
  const margin = (high / 2 - low / 2) * 0.16;
  return [clamp(low - margin), clamp(high + margin)];
}
const clamp = (value) => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));

/** A step may be shorter than requested by this factor: the next longer one can be more than twice as long, which leaves two ticks. */
const SHORTER = 0.75;

/** Returns about `count` round numbers between `low` and `high`, and their distance, which is 0 if there are none. */
export function ticks(low, high, count) {
  const rough = (high / count - low / count);
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * magnitude).find((s) => s >= SHORTER * rough) ?? rough;
  if (!(step > 0) || !Number.isFinite(step)) return { values: [], step: 0 };
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high && values.length < 20; i += 1) values.push(i * step);
  return { values, step };
}

const DAY = 86_400;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY].map((s) => s * 1000);

/** Returns about `count` times at round seconds, minutes, hours or days of the local time zone, and their distance. */
export function timeTicks(from, to, count) {
  const step = TIME_STEPS.find((s) => s >= SHORTER * (to - from) / count) ?? TIME_STEPS.at(-1);
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const values = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to && values.length < 100; at += step) values.push(at);
  return { values, step };
}
