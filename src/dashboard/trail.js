// The card of a position: the track of each key as a line, a scale bar, and the last positions with their ages. The picture
// needs no map: it is drawn from the positions alone.

import { el, setText } from "./dom.js";
import * as format from "./format.js";
import { KeySearch } from "./key_search.js";
import { followPointer, showTooltip } from "./pointer.js";
import { lastPosition, pathOf, positionAt, projection, scaleBar, trackOf } from "./track.js";

const MAX_TRACKS = 40;
/** The maximum number of other keys, which are drawn as points. */
const MAX_POINTS = 2000;
/** With more keys, the names beside the last positions would cover each other. */
const MAX_NAMES = 12;
const SCALE_LEFT = 12;

export class Trail {
  /** `latitude` and `longitude` are the fields of the position, and `name` is its title. */
  constructor(name, { latitude, longitude }, view) {
    Object.assign(this, { name, latitude, longitude, view });
    this.rows = new Map();
    this.tracks = new Map();
    const id = `field-${view.urlName(name)}`;
    this.picture = el("svg:svg", { class: "trail-picture", role: "img", tabindex: 0, "aria-label": `Trail of ${name}: no positions yet` });
    this.tooltip = el("div", { class: "tooltip", hidden: true });
    this.search = new KeySearch(name, { most: MAX_TRACKS, omission: "shown as grey points" }, () => view.invalidate());
    this.body = el("tbody");
    const head = el("tr", {}, ...["Key", "Latitude", "Longitude", "Age"].map((title) => el("th", { scope: "col" }, title)));
    const table = el("table", { class: "legend" }, el("caption", { class: "offscreen" }, `${name}: last positions`), el("thead", {}, head), this.body);
    this.element = el("section", { class: "card chart trail", "aria-labelledby": id },
      el("header", {}, el("h3", { id }, name), el("span", { class: "grow" }), this.search.input),
      el("div", { class: "plot-box" }, this.picture, this.tooltip),
      el("div", { class: "legend-box", tabIndex: 0, role: "group", "aria-label": `${name}: last positions` }, table), this.search.note);
    followPointer(this.picture, this);
  }

  draw() {
    const { from, to, theme, hover } = this.view;
    const { clientWidth: width, clientHeight: height } = this.picture;
    if (width === 0 || height === 0) return;
    const [latitudes, longitudes] = [this.view.valuesOf(this.latitude), this.view.valuesOf(this.longitude)];
    const both = new Map([...latitudes].filter(([key]) => longitudes.has(key)));
    const tracks = this.search.choose(both).map((key) => [key, trackOf(latitudes.get(key), longitudes.get(key), from, to)]);
    this.tracks = new Map(tracks.filter(([, segments]) => segments.length > 0));
    const listed = new Set(tracks.map(([key]) => key));
    const others = [...both.keys()].filter((key) => !listed.has(key)).slice(0, MAX_POINTS);
    const points = others.map((key) => lastPosition(latitudes.get(key), longitudes.get(key), from, to)).filter((position) => position !== null);
    const { place, metresPerPixel } = projection([...[...this.tracks.values()].flat(2), ...points], width, height);
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.replaceChildren(...points.map((position) => circle(...place(position), 3, theme.text, theme.card)), ...[...this.tracks].map(([key, segments]) => this.line(key, segments, place)), ...this.lastPositions(place, width),
      ...(hover === null ? [] : this.positionsAt(hover, place)), ...(this.tracks.size > 0 ? scale(metresPerPixel, width, height, theme) : []));
    showTooltip(this.tooltip, this, width / 2, width);
  }

  line(key, segments, place) {
    const { colour, dash } = this.view.lookOf(key);
    const d = segments.map((segment) => pathOf(segment, place)).join("");
    return el("svg:path", { d, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash.join(" "), "stroke-linejoin": "round", "stroke-linecap": "round" });
  }

  lastPositions(place, width) {
    const { theme } = this.view;
    return [...this.tracks].flatMap(([key, segments]) => {
      const [x, y] = place(segments.at(-1).at(-1));
      const dot = circle(x, y, 5, this.view.lookOf(key).colour, theme.card);
      const isLeft = x < width * 0.7;
      const name = el("svg:text", { x: isLeft ? x + 9 : x - 9, y: y + 4, "text-anchor": isLeft ? "start" : "end", fill: theme.strong, "font-size": 12, "paint-order": "stroke", stroke: theme.card, "stroke-width": 3 }, key);
      return this.tracks.size <= MAX_NAMES ? [dot, name] : [dot];
    });
  }

  positionsAt(time, place) {
    return [...this.tracks].flatMap(([key, segments]) => {
      const position = positionAt(segments, time);
      return position ? [circle(...place(position), 4, this.view.theme.card, this.view.lookOf(key).colour)] : [];
    });
  }

  /** Updates the table of the last positions and the accessible label. */
  updateLegend() {
    const { to, isMoving, step } = this.view;
    for (const [key, row] of this.rows) if (!this.tracks.has(key)) { row.element.remove(); this.rows.delete(key); }
    [...this.tracks].forEach(([key, segments], i) => {
      const row = this.rowOf(key);
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
      const last = segments.at(-1).at(-1);
      row.swatch.className = `swatch ${this.view.lookOf(key).swatch}`;
      [coordinate(last.latitude), coordinate(last.longitude), positionAge(last.end, to, step, isMoving)].forEach((text, at) => setText(row.cells[at], text));
    });
    const spoken = [...this.tracks].slice(0, 8).map(([key, segments]) => `${key} ${coordinate(segments.at(-1).at(-1).latitude)}, ${coordinate(segments.at(-1).at(-1).longitude)}`);
    const label = `Trail of ${this.name}: ${spoken.join("; ") || "no positions"}. Arrow keys move through time.`;
    if (this.picture.getAttribute("aria-label") !== label) this.picture.setAttribute("aria-label", label);
  }

  rowOf(key) {
    const existing = this.rows.get(key);
    if (existing) return existing;
    const swatch = el("span");
    const cells = [el("td"), el("td"), el("td")];
    const row = { element: el("tr", {}, el("th", { scope: "row" }, el("span", { class: "key", title: key }, swatch, el("bdi", {}, key))), ...cells), cells, swatch };
    this.rows.set(key, row);
    return row;
  }

  /** A position has no time axis, so the pointer does not move the time. */
  timeAt() {
    return null;
  }

  valuesAt(time) {
    return [...this.tracks].flatMap(([key, segments]) => {
      const position = positionAt(segments, time);
      return position ? [[key, this.view.lookOf(key).swatch, `${coordinate(position.latitude)}, ${coordinate(position.longitude)}`]] : [];
    });
  }
}

function circle(cx, cy, r, fill, stroke) {
  return el("svg:circle", { cx, cy, r, fill, stroke, "stroke-width": 2 });
}

function scale(metresPerPixel, width, height, theme) {
  const { pixels, label } = scaleBar(metresPerPixel, width);
  const y = height - 12;
  return [
    el("svg:path", { d: `M${SCALE_LEFT} ${y - 4}v4h${pixels.toFixed(1)}v-4`, fill: "none", stroke: theme.strong, "stroke-width": 1.5 }),
    el("svg:text", { x: SCALE_LEFT + pixels / 2, y: y - 6, "text-anchor": "middle", fill: theme.strong, "font-size": 12, class: "scale" }, label),
    el("svg:text", { x: width - 12, y: 18, "text-anchor": "end", fill: theme.text, "font-size": 12 }, "N ↑"),
  ];
}

/** About 1 m of precision. */
const coordinate = (degrees) => degrees.toFixed(5);

function positionAge(end, to, step, isMoving) {
  if (!isMoving) return `at ${format.moment(Math.min(end, to))}`;
  return end >= to ? `at most ${format.duration(step)}` : format.duration(to - end + step);
}
