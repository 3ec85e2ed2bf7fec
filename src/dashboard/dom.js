// Elements from text. There is no other way from a record to the page: `innerHTML` is refused by the page's policy.

/** An element: properties, then children; texts are text. `data-…`, `aria-…` and `role` are attributes. */
export function el(tag, props = {}, ...children) {
  const element = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list" || !(name in element)) element.setAttribute(name === "class" ? "class" : name, value === true ? "" : value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only where it changed, so that nothing is laid out anew for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const button = (label, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, label);

export function labelled(label, control, props = {}) {
  return el("label", { class: "field", ...props }, el("span", {}, label), control);
}

/** Told to screen readers, politely. */
export function announce(text) {
  setText(document.getElementById("announce"), text);
}

/** Copies, also where the page has no clipboard because it came over plain http from another host. */
export async function copy(text, trigger) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { value: text, class: "offscreen", "aria-hidden": "true" });
    (trigger?.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    trigger?.focus();
  }
  announce("Copied");
  if (trigger) {
    const label = trigger.textContent;
    trigger.textContent = "Copied";
    setTimeout(() => (trigger.textContent = label), 1200);
  }
}

/** A command with a button that copies it. */
export function copyableCommand(text) {
  const copyButton = button("Copy", () => copy(text, copyButton), { class: "small" });
  return el("div", { class: "command" }, el("code", {}, text), copyButton);
}

/** Calls `work` at most once in `ms`, and once more after the last call. */
export function throttle(ms, work) {
  let timer = 0;
  let last = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = Date.now();
      work();
    }, Math.max(0, last + ms - Date.now()));
  };
}
