// The parts of the latest values by path: numbers, texts and booleans, and the arrays that `each` can read.

import { MAX_DEPTH, join } from "./path.js";

const MAX_PATHS = 256;
const MAX_ARRAYS = 8;
const MAX_ELEMENTS = 256;

/**
 * Returns `{ leaves, arrays, elements }` of records in the format `record`.
 *
 * `leaves` maps each path to `{ path, name, inElement, samples }`, with a sample `{ value, record, element }` for each
 * record or element that has it; `record` and `element` are indexes. `arrays` has the paths of arrays with objects or
 * numbers in them, and `elements` is the number of elements of the array at `each`.
 */
export function collectLeaves(records, each) {
  const leaves = new Map();
  const arrays = new Set();
  let elements = 0;
  records.forEach((record, index) => {
    if (record.encoding) return;
    const add = (path, name, value, element) => {
      let leaf = leaves.get(path);
      if (!leaf && leaves.size >= MAX_PATHS) return;
      if (!leaf) leaves.set(path, (leaf = { path, name, inElement: element !== null, samples: [] }));
      leaf.samples.push({ value, record: index, element });
    };
    const visit = (value, path, name, depth, element) => {
      if (Array.isArray(value)) {
        if (element !== null) return;
        if (arrays.size < MAX_ARRAYS && value.some((one) => typeof one === "number" || isObject(one))) arrays.add(path);
        if (path !== each) return;
        const read = value.slice(0, MAX_ELEMENTS);
        elements += read.length;
        for (const [i, one] of read.entries()) if (!Array.isArray(one)) visit(one, path, name, depth, i);
      } else if (isObject(value)) {
        if (depth === MAX_DEPTH) return;
        for (const [member, inner] of Object.entries(value)) if (member !== "") visit(inner, join(path, member), member, depth + 1, element);
      } else if (value !== null) add(path, name, value, element);
    };
    visit(record.value, "value", "value", 0, null);
  });
  return { leaves, arrays, elements };
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
