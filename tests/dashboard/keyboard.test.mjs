import assert from "node:assert/strict";
import { test } from "node:test";
import { actionOf } from "../../src/dashboard/keyboard.js";

test("each shortcut has its key, and keys with a modifier belong to the browser", () => {
  const pressed = { "/": "search", " ": "pause", "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", ArrowLeft: "earlier", ArrowRight: "later", l: "live", p: "produce", "?": "help" };
  for (const [key, action] of Object.entries(pressed)) assert.equal(actionOf({ key, shiftKey: key === "?" }), action, key);
  for (const key of ["a", "Enter", "constructor", "ArrowUp"]) assert.equal(actionOf({ key }), null, key);
  for (const modifier of ["ctrlKey", "metaKey", "altKey"]) assert.equal(actionOf({ key: "p", [modifier]: true }), null, modifier);
});
