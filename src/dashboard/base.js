// The base URL of the bridge, and the problems in its responses. A proxy may serve the bridge under any path prefix, so no URL
// in these scripts starts at the root.

/** The bridge's base URL, ending with a slash. The scripts are one directory below it. */
export const root = new URL("../", import.meta.url).href;

/** The URL of an endpoint: `endpoint("topics")`. */
export const endpoint = (path) => root + path;

/** A name for storage, workers and locks, distinct for bridges under different prefixes of one origin. */
export const scoped = (name) => `${name} ${new URL(root).pathname}`;

/** Returns the `detail` of a problem (RFC 9457) in a response or an event, or `fallback` for any other text. */
export function detailOf(text, fallback) {
  try {
    return String(JSON.parse(text).detail ?? fallback);
  } catch {
    return fallback;
  }
}

/** Returns the reason of a response that is not ok. A proxy may send one without a problem. */
export const problemOf = async (response) => detailOf(await response.text().catch(() => ""), `status ${response.status}`);
