// Zoom by mouse or pen: a drag over a chart selects a part of its range, a double click zooms out.

import { zoomedIn } from "./range.js";

/** A shorter movement is a click. */
const MIN_DRAG_PIXELS = 6;

export class DragZoom {
  /** `timeAt(event)` returns the time below the pointer, or null without a chart. `view` is what the charts share. */
  constructor(canvas, timeAt, view) {
    this.canvas = canvas;
    this.timeAt = timeAt;
    this.view = view;
    this.start = null;
    canvas.addEventListener("pointerdown", (event) => this.pressed(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    canvas.addEventListener("pointerup", (event) => this.released(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("keydown", (event) => event.key === "Escape" && this.cancel());
    canvas.addEventListener("dblclick", () => view.zoomOut());
  }

  pressed(event) {
    // On a touch screen the page scrolls, and a tap shows the values.
    if (event.button !== 0 || event.pointerType === "touch") return;
    const time = this.timeAt(event);
    if (time === null) return;
    this.start = { time, x: event.clientX };
    this.canvas.setPointerCapture(event.pointerId);
  }

  moved(event) {
    if (this.start === null) return;
    const isDrag = Math.abs(event.clientX - this.start.x) >= MIN_DRAG_PIXELS;
    this.view.select(isDrag ? [this.start.time, this.timeAt(event)].sort((a, b) => a - b) : null);
  }

  released(event) {
    this.moved(event);
    const { selection } = this.view;
    this.cancel();
    if (selection) this.view.onZoom(zoomedIn(...selection));
  }

  cancel() {
    this.start = null;
    this.view.select(null);
  }
}
