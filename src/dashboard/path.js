// Paths to a part of a value, as /series has them: `value.temperature`, `value["air temperature"].celsius`.

/** Members below this depth are not read, here and by /series. */
export const MAX_DEPTH = 8;

/** Returns the path of the member `name` of the part at `path`. */
export function join(path, name) {
  return /[.["\s\p{Cc}]/u.test(name) ? `${path}[${JSON.stringify(name)}]` : `${path}.${name}`;
}

/** Returns the names in a path such as `value.motor["air temperature"]`, or null if the text is not a path. */
export function namesIn(path) {
  if (!path.startsWith("value")) return null;
  const names = [];
  for (let rest = path.slice("value".length); rest !== ""; ) {
    const [part, plain, quoted] = /^\.([^.[]+)|^\[("(?:[^"\\]|\\.)*")\]/.exec(rest) ?? [];
    if (part === undefined) return null;
    try {
      names.push(plain ?? JSON.parse(quoted));
    } catch {
      return null;
    }
    rest = rest.slice(part.length);
  }
  return names;
}

/** Returns the path of the object that has this member. */
export function parentOf(path) {
  const end = path.endsWith('"]') ? path.lastIndexOf('["') : path.lastIndexOf(".");
  return end < 0 ? "" : path.slice(0, end);
}
