import assert from "node:assert/strict";
import { test } from "node:test";
import { Series } from "../../src/dashboard/series.js";
import { lastPosition, pathOf, positionAt, projection, scaleBar, trackOf } from "../../src/dashboard/track.js";

function series(points) {
  const made = new Series();
  made.merge(points.map(([second, last]) => [second * 1000, last, last, last, 1]), 1000);
  return made;
}
const seconds = (segments) => segments.map((segment) => segment.map(({ time }) => time / 1000));
const near = (actual, expected, tolerance = 1) => actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) <= tolerance, `${actual} is not ${expected}`));

test("a track has the positions of the window, and a gap separates its segments", () => {
  const points = [0, 1, 2, 3, 60, 61].map((second) => [second, 50 + second / 1000]);
  assert.deepEqual(seconds(trackOf(series(points), series(points), 1000, 60_000)), [[1, 2, 3], [60]]);
});

test("a position needs latitude and longitude", () => {
  const segments = trackOf(series([[0, 1], [1, 1], [2, 1], [3, 1]]), series([[0, 2], [1, 2], [3, 2]]), 0, 9000);
  assert.deepEqual(seconds(segments), [[0, 1], [3]]);
});

test("north is up, east is right, and both have the same scale", () => {
  const [berlin, north, east] = [{ latitude: 52.5, longitude: 13.4 }, { latitude: 52.51, longitude: 13.4 }, { latitude: 52.5, longitude: 13.4 + 0.01 / Math.cos((52.505 * Math.PI) / 180) }];
  const { place, metresPerPixel } = projection([berlin, north, east], 400, 400);
  const [[x0, y0], [x1, y1], [x2, y2]] = [berlin, north, east].map(place);
  near([x1 - x0, y2 - y0], [0, 0], 1e-6);
  near([y0 - y1, x2 - x0], [1112 / metresPerPixel, 1112 / metresPerPixel]);
  near([Math.min(x0, y1), Math.max(x2, y0)], [28, 372]);
});

test("a track across the antimeridian is not as wide as the world", () => {
  const { metresPerPixel } = projection([{ latitude: 0, longitude: 179.9 }, { latitude: 0, longitude: -179.9 }], 456, 400);
  near([metresPerPixel * 400], [0.2 * 111_195]);
});

test("the noise of a receiver at rest is small", () => {
  const { metresPerPixel } = projection([{ latitude: 1, longitude: 1 }, { latitude: 1.00001, longitude: 1 }], 256, 256);
  near([metresPerPixel], [0.1], 1e-6);
  assert.deepEqual(projection([{ latitude: -90, longitude: 5 }], 256, 256).place({ latitude: -90, longitude: 5 }), [128, 128]);
});

test("the scale bar has a round length", () => {
  for (const [metresPerPixel, label] of [[0.1, "10 m"], [1, "100 m"], [1.7, "200 m"], [20, "2 km"], [500, "50 km"], [0.001, "0.1 m"]]) {
    const bar = scaleBar(metresPerPixel, 400);
    assert.equal(bar.label, label);
    assert.ok(bar.pixels <= 120 && bar.pixels > 40);
  }
});

test("a segment of one position is drawn as a dot", () => {
  const place = ({ latitude, longitude }) => [longitude, latitude];
  assert.equal(pathOf([{ latitude: 1, longitude: 2 }], place), "M2.0 1.0L2.0 1.0");
  assert.equal(pathOf([{ latitude: 1, longitude: 2 }, { latitude: 3, longitude: 4 }], place), "M2.0 1.0L4.0 3.0");
});

test("the position at a time is the last one before it, if it was measured then", () => {
  const one = series([[0, 10], [1, 11], [2, 12], [60, 13]]);
  const segments = trackOf(one, one, 0, 90_000);
  for (const [second, latitude] of [[0, 10], [1.5, 11], [2.9, 12], [30, undefined], [60, 13], [61, undefined]]) assert.equal(positionAt(segments, second * 1000)?.latitude, latitude, String(second));
});

test("the last position of a key is within the window", () => {
  const [latitudes, longitudes] = [series([[0, 10], [5, 11], [6, 12]]), series([[0, 1], [5, 2]])];
  assert.deepEqual(lastPosition(latitudes, longitudes, 0, 9000), { latitude: 11, longitude: 2 });
  assert.deepEqual(lastPosition(latitudes, longitudes, 0, 4000), { latitude: 10, longitude: 1 });
  assert.equal(lastPosition(latitudes, longitudes, 5500, 9000), null);
});
