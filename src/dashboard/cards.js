// The cards of a topic: charts of numbers, timelines of states and trails of positions, with their titles, and the cards that
// are hidden by default.

import { Chart } from "./chart.js";
import { fieldLabel } from "./question.js";
import { positionsOf, questionOf } from "./shape.js";
import { parentOf } from "./path.js";
import { Timeline } from "./timeline.js";
import { Trail } from "./trail.js";

export class Cards {
  units = new Map();
  positions = [];
  /** The names of cards that are hidden by default: those of ids and times, and the parts of positions, which are in a trail. */
  hiddenAtFirst = new Set();
  /** The notes below the cards. */
  notes = [];

  /** Uses the shape of the topic. */
  use(shape) {
    this.units = new Map(shape.fields.filter(({ unit }) => unit !== "").map(({ path, unit }) => [fieldLabel(path), unit]));
    this.positions = positionsOf(shape.fields).map(({ latitude, longitude }) => {
      const parent = parentOf(latitude);
      return { name: parent === "value" ? "position" : fieldLabel(parent), latitude: fieldLabel(latitude), longitude: fieldLabel(longitude) };
    });
    const inTrails = this.positions.flatMap(({ latitude, longitude }) => [latitude, longitude]);
    this.hiddenAtFirst = new Set([...shape.aside.map(fieldLabel), ...inTrails]);
    this.notes = notesOf(shape);
  }

  /** Returns a function that creates the card, by name, for what the feed has. */
  of({ fields, states }, view) {
    const cards = new Map();
    for (const position of this.positions) {
      if (fields.has(position.latitude) && fields.has(position.longitude)) cards.set(position.name, () => new Trail(position.name, position, view));
    }
    for (const field of fields.keys()) if (!cards.has(field)) cards.set(field, () => new Chart(field, view));
    for (const field of states.keys()) if (!cards.has(field)) cards.set(field, () => new Timeline(field, view));
    return cards;
  }

  /** Returns the title of the chart of a field. */
  titleOf(field, isRate) {
    const unit = this.units.get(field);
    if (isRate) return `${field} (${unit ?? "increase"} per second)`;
    return unit ? `${field} (${unit})` : field;
  }
}

/** Returns the notes about the fields of a shape. */
function notesOf(shape) {
  const { fields, states } = questionOf(shape);
  const listed = fields.length + states.length;
  const notes = listed > 0 ? [`The ${listed} fields are those of the latest records`] : [];
  if (listed > 0 && listed < shape.fields.length) notes.push(`${shape.fields.length - listed} more fields are not read`);
  if (shape.reason !== "" && shape.fields.length > 0) notes.push(`Not drawn of the latest records: ${shape.reason}`);
  return notes;
}
