// The tracks of positions on a plane: breaks, projection and scale bar. Pure functions.

const METRES_PER_DEGREE = 111_195;
/** At the poles, a degree of longitude has no length. */
const MIN_COSINE = 0.01;
/** Keeps the noise of a receiver at rest from filling the picture. */
const MIN_EXTENT_METRES = 20;
const MARGIN = 28;
const SCALE_BAR_SHARE = 0.3;

/**
 * Returns the track of one key between two times: segments of `{ time, end, latitude, longitude }`, with the last position
 * of each step. A gap in the measurement separates segments.
 */
export function trackOf(latitudes, longitudes, from, to) {
  const segments = [];
  let segment = null;
  for (let i = latitudes.indexFrom(from); i < latitudes.length && latitudes.start[i] <= to; i += 1) {
    const at = longitudes.indexFrom(latitudes.start[i]);
    const isPair = at < longitudes.length && longitudes.start[at] === latitudes.start[i];
    if (!segment || latitudes.broken[i] || !isPair) segment = null;
    if (!isPair) continue;
    if (!segment) segments.push((segment = []));
    segment.push({ time: latitudes.start[i], end: latitudes.end[i], latitude: latitudes.last[i], longitude: longitudes.last[at] });
  }
  return segments;
}

/**
 * Returns `{ place, metresPerPixel }` for positions in a picture of this size: `place(position)` returns `[x, y]`. The
 * projection is equirectangular around the middle, which is right for distances up to some 100 km.
 */
export function projection(positions, width, height) {
  const reference = positions[0]?.longitude ?? 0;
  // Across the antimeridian, 179° and -179° are neighbours.
  const unwrap = (longitude) => reference + ((((longitude - reference + 180) % 360) + 360) % 360) - 180;
  const [south, north] = extent(positions.map(({ latitude }) => latitude));
  const [west, east] = extent(positions.map(({ longitude }) => unwrap(longitude)));
  const middle = { latitude: (south + north) / 2, longitude: (west + east) / 2 };
  const cosine = Math.max(MIN_COSINE, Math.cos((middle.latitude * Math.PI) / 180));
  const metres = (degrees) => Math.max(MIN_EXTENT_METRES, degrees * METRES_PER_DEGREE);
  const metresPerPixel = Math.max(metres((east - west) * cosine) / Math.max(1, width - 2 * MARGIN), metres(north - south) / Math.max(1, height - 2 * MARGIN));
  const pixelsPerDegree = METRES_PER_DEGREE / metresPerPixel;
  const place = ({ latitude, longitude }) => [
    width / 2 + (unwrap(longitude) - middle.longitude) * cosine * pixelsPerDegree,
    height / 2 - (latitude - middle.latitude) * pixelsPerDegree,
  ];
  return { place, metresPerPixel };
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low > high ? [0, 0] : [low, high];
}

/** Returns `{ pixels, label }` of the longest scale bar with a round length that fits. */
export function scaleBar(metresPerPixel, width) {
  const longest = metresPerPixel * width * SCALE_BAR_SHARE;
  const magnitude = 10 ** Math.floor(Math.log10(longest));
  const metres = [5, 2, 1].map((n) => n * magnitude).find((length) => length <= longest);
  const label = metres >= 1000 ? `${metres / 1000} km` : `${Number(metres.toPrecision(1))} m`;
  return { pixels: metres / metresPerPixel, label };
}

/** Returns the path data of a segment. A segment of one position is a line without length, which round caps draw as a dot. */
export function pathOf(segment, place) {
  const points = segment.map((position) => place(position).map((pixel) => pixel.toFixed(1)).join(" "));
  return `M${points.length > 1 ? points.join("L") : `${points[0]}L${points[0]}`}`;
}

/** Returns the position at a time: the last one before it in a segment that was measured then, or null. */
export function positionAt(segments, time) {
  const segment = segments.find((one) => one[0].time <= time && time < one.at(-1).end);
  return segment?.findLast((position) => position.time <= time) ?? null;
}

/** Returns the last position of one key between two times, or null. */
export function lastPosition(latitudes, longitudes, from, to) {
  for (let i = latitudes.length - 1; i >= 0 && latitudes.start[i] >= from; i -= 1) {
    const at = longitudes.indexFrom(latitudes.start[i]);
    const isPair = at < longitudes.length && longitudes.start[at] === latitudes.start[i];
    if (isPair && latitudes.start[i] <= to) return { latitude: latitudes.last[i], longitude: longitudes.last[at] };
  }
  return null;
}
