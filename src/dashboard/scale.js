// From values and times to pixels, and the round numbers that are written beside an axis.

/** A linear scale that also takes values whose difference no double can hold. */
export class Scale {
  constructor(low, high, from, to) {
    Object.assign(this, { low, high, from, to });
  }

  at(value) {
    const share = (value / 2 - this.low / 2) / (this.high / 2 - this.low / 2);
    return this.from + share * (this.to - this.from);
  }

  back(pixel) {
    const share = (pixel - this.from) / (this.to - this.from);
    return this.low * (1 - share) + this.high * share;
  }
}

/** A range with some air around it; never empty. */
export function padded(low, high) {
  if (low === high) {
    const air = Math.abs(low) * 0.1 || 1;
    return [clamp(low - air), clamp(high + air)];
  }
  const air = (high / 2 - low / 2) * 0.16;
  return [clamp(low - air), clamp(high + air)];
}
const clamp = (value) => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));

/** About `wanted` round numbers between `low` and `high`. */
export function ticks(low, high, wanted) {
  const rough = (high / wanted - low / wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  if (!(step > 0) || !Number.isFinite(step)) return [];
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 20; i += 1) found.push(i * step);
  return found;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].map((s) => s * 1000);

/** Round moments in local time. */
export function moments(from, to, wanted) {
  const step = STEPS.find((s) => s >= (to - from) / wanted) ?? STEPS.at(-1);
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return found;
}
