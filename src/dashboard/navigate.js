// Moves the range of the charts by keyboard: zoom, earlier, later, and back to live.

import { WINDOWS } from "./query.js";
import { isLive, rangeOf, zoomedIn } from "./range.js";
import * as url from "./url.js";

/** Zooming in keeps this part of a range, and moving shifts it by this part of its length. */
const PART_TO_KEEP = 1 / 3;
const PART_TO_MOVE = 1 / 2;

/** Returns the next shorter (-1) or longer (1) window, or null. */
export function nextWindow(window, direction) {
  const names = [...WINDOWS.keys()];
  return names[names.indexOf(window) + direction] ?? null;
}

/** Returns the range half a length before (-1) or after (1) the one between two times; null if it would end at about now, or later. */
export function moved({ from, to }, direction, now) {
  const step = (to - from) * PART_TO_MOVE;
  const begin = Math.max(0, from + direction * step);
  const end = begin + (to - from);
  // Time passes between two keys, so a range that was moved back and forth ends shortly before now.
  return end < now - step / 2 ? { from: String(Math.floor(begin)), to: String(Math.ceil(end)) } : null;
}

/** Returns the middle third of a range, or the third around a time in it. */
export function third({ from, to }, time) {
  const half = ((to - from) * PART_TO_KEEP) / 2;
  const middle = Math.max(from + half, Math.min(to - half, time ?? (from + to) / 2));
  return zoomedIn(middle - half, middle + half);
}

/**
 * The actions of a page. `view` has the edges of the charts and the pointer; `apply(range)` shows another range. The edges
 * are those of the last frame, so they are updated first: keys can follow each other faster.
 */
export class Navigation {
  constructor(view, apply) {
    this.view = view;
    this.apply = apply;
  }

  zoomIn() {
    this.view.updateEdges();
    const { window } = rangeOf(url.state);
    const shorter = window === null ? null : nextWindow(window, -1);
    if (window === null || this.view.hover !== null) this.apply(third(this.view, this.view.hover));
    else if (shorter !== null) this.apply({ window: shorter });
  }

  zoomOut() {
    const { window } = rangeOf(url.state);
    this.view.updateEdges();
    const longer = window === null ? null : nextWindow(window, 1);
    if (window === null) this.view.zoomOut();
    else if (longer !== null) this.apply({ window: longer });
  }

  earlier() {
    this.view.updateEdges();
    if (this.view.from > 0) this.apply(moved(this.view, -1, Infinity));
  }

  /** A range that reaches now is live again. */
  later() {
    if (isLive(rangeOf(url.state))) return;
    this.view.updateEdges();
    const range = moved(this.view, 1, this.view.feed?.now() ?? Date.now());
    if (range) this.apply(range);
    else this.live();
  }

  live() {
    if (rangeOf(url.state).window === null) this.apply({ from: "", to: "" });
  }
}
