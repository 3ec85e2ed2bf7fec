// Where the bridge is. A proxy may serve it under any path prefix, so that no URL of the page begins at the root.

/** The bridge's own URL, with a slash at its end; the scripts are one folder below it. */
export const root = new URL("../", import.meta.url).href;

/** A URL of the bridge: `endpoint("topics")`. */
export const endpoint = (path) => root + path;

/** A name that bridges under two prefixes of one origin do not share. */
export const scoped = (name) => `${name} ${new URL(root).pathname}`;
