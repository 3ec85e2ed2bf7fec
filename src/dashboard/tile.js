// What the tile of a key shows. Pure functions.

import * as format from "./format.js";

/** A key that has sent nothing for this long is marked as silent. */
export const SILENT_AFTER_MS = 600_000;

/** Returns the tile of a name: its readings, the newest time, and what is marked. Fields in `hidden` are left out. */
export function tileOf(by, fields, { thresholds, hidden }, now) {
  const readings = [];
  let time = -Infinity;
  for (const [field, known] of fields) {
    if (hidden.has(field)) continue;
    const isOver = typeof known.value === "number" && known.value > (thresholds.get(field) ?? Infinity);
    readings.push({ field, value: known.value, time: known.time, isOver });
    time = Math.max(time, known.time);
  }
  return { by, readings, time, isOver: readings.some(({ isOver }) => isOver), isSilent: now - time >= SILENT_AFTER_MS };
}

/** Returns the tiles to show, and the rest. If not all fit, those above a threshold come first. */
export function chooseTiles(tiles, { search, only, most }) {
  const wanted = search.toLowerCase();
  const matches = ({ by, isOver, isSilent }) => (only === "over" ? isOver : only === "silent" ? isSilent : true) && by.toLowerCase().includes(wanted);
  const found = tiles.filter(matches);
  const order = found.length > most ? [...found.filter(({ isOver }) => isOver), ...found.filter(({ isOver }) => !isOver)] : found;
  return { shown: order.slice(0, most), rest: order.slice(most) };
}

/** Describes an age in ms. Clocks may differ, so a time can be ahead of the clock of this page. */
export function ageText(age, isSilent) {
  if (age < -2000) return `${format.duration(-age)} ahead of this clock`;
  return isSilent ? `silent for ${format.duration(age)}` : `${format.duration(age)} ago`;
}
