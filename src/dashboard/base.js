// The base URL of the bridge. A proxy may serve it under any path prefix, so no URL in these scripts starts at the root.

/** The bridge's base URL, ending with a slash. The scripts are one directory below it. */
export const root = new URL("../", import.meta.url).href;

/** The URL of an endpoint: `endpoint("topics")`. */
export const endpoint = (path) => root + path;

/** A name for storage, workers and locks, distinct for bridges under different prefixes of one origin. */
export const scoped = (name) => `${name} ${new URL(root).pathname}`;
