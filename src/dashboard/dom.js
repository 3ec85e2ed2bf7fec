// Builds elements. Records reach the page only as text: the page's Content-Security-Policy forbids `innerHTML`.

/** Creates an element with properties, attributes (`data-…`, `aria-…`, `role`), `on…` listeners and children. */
export function el(tag, props = {}, ...children) {
  const isSvg = tag.startsWith("svg:");
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list" || isSvg || !(name in element)) element.setAttribute(name === "class" ? "class" : name, value === true ? "" : value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets the text only if it changed, to avoid a needless layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const button = (label, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, label);

export function labelled(label, control, props = {}) {
  return el("label", { class: "field", ...props }, el("span", {}, label), control);
}

/** Announces a text to screen readers through the polite live region. */
export function announce(text) {
  setText(document.getElementById("announce"), text);
}

/** Copies a text. Pages over plain HTTP from another host have no clipboard API, so it falls back to `execCommand`. */
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

/** A command line with a button that copies it. */
export function copyableCommand(text) {
  const copyButton = button("Copy", () => copy(text, copyButton), { class: "small" });
  return el("div", { class: "command" }, el("code", {}, text), copyButton);
}

/** Returns a function that runs `work` at most once per `ms`, and always after the last call. */
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
