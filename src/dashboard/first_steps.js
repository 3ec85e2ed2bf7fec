// What a page without records shows: a command that sends the first one.

import { root } from "./base.js";
import { copyableCommand, el } from "./dom.js";
import { firstRecordCommand } from "./format.js";
import * as session from "./session.js";

/**
 * Returns the elements, and a text that changes with them, or null until it is known whether clients must sign in. `topic` is the
 * topic to write to, or null for any one.
 */
export function firstSteps(topic) {
  if (!session.current) return null;
  const command = firstRecordCommand(root, session.current, topic);
  const title = el("h2", {}, "No records yet");
  if (!command) return { key: "", elements: [title, el("p", {}, `You may not write to ${topic ? "this topic" : "any topic"}. Records of others appear here.`)] };
  const login = session.current.required ? el("p", { class: "note" }, "curl asks for a password: enter your password, key or token.") : null;
  return { key: command, elements: [title, el("p", {}, "Send the first one, and it appears here:"), copyableCommand(command), ...(login ? [login] : [])] };
}
