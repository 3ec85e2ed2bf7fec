// The parts of values by path: numbers, texts and booleans, and the arrays that `each` can read.

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
    const addLeaf = (value, path, name, element) => {
      let leaf = leaves.get(path);
      if (!leaf && leaves.size >= MAX_PATHS) return;
      if (!leaf) leaves.set(path, (leaf = { path, name, inElement: element !== null, samples: [] }));
      leaf.samples.push({ value, record: index, element });
    };
    const addArray = (array, path) => {
      if (arrays.size < MAX_ARRAYS && array.some((one) => typeof one === "number" || isObject(one))) arrays.add(path);
    };
    elements += walk(record.value, { each, most: MAX_ELEMENTS }, addLeaf, addArray);
  });
  return { leaves, arrays, elements };
}

/**
 * Walks through a value like /series. Calls `onLeaf(leaf, path, name, element)` for each number, text and boolean outside of
 * arrays, with the name of its last member, and `onArray(array, path)` for each array that is not in another one. The array
 * at `each` is read element by element, up to `most`: `element` is the index, or null outside of it. A part at `each` that
 * is not an array counts as the only element. Returns the number of elements.
 */
export function walk(value, { each, most = Infinity }, onLeaf, onArray = () => {}) {
  let elements = 0;
  const visit = (node, path, name, depth, element) => {
    if (node === null) return;
    if (element === null && Array.isArray(node)) onArray(node, path);
    if (element === null && path === each) {
      const read = Array.isArray(node) ? node.slice(0, most) : [node];
      elements = read.length;
      read.forEach((one, i) => visit(one, path, name, depth, i));
    } else if (isObject(node)) {
      if (depth === MAX_DEPTH) return;
      // A member without a name has no path.
      for (const [member, inner] of Object.entries(node)) if (member !== "") visit(inner, join(path, member), member, depth + 1, element);
    } else if (!Array.isArray(node)) onLeaf(node, path, name, element);
  };
  visit(value, "value", "value", 0, null);
  return elements;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
