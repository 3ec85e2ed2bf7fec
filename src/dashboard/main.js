// The page: header, current view and global keyboard shortcuts.

import { endpoint } from "./base.js";
import { button, el } from "./dom.js";
import * as feed from "./feed.js";
import { Overview } from "./overview.js";
import { ProduceDialog } from "./produce.js";
import { Session } from "./session.js";
import { StatusBar } from "./status.js";
import { TopicView } from "./topic.js";
import * as url from "./url.js";

const produce = new ProduceDialog();
const session = new Session();
const statusBar = new StatusBar();
const topicNames = el("datalist", { id: "topic-names" });
const main = document.getElementById("main");
let view = null;

function show() {
  view?.stop();
  view = url.state.topic ? new TopicView(produce) : new Overview();
  main.replaceChildren(view.element);
  document.title = url.state.topic ? `${url.state.topic} · Curlew` : "Curlew";
}

const home = el("a", { ...url.link({}), class: "home" }, el("img", { src: endpoint("dashboard/icon.svg"), alt: "", width: 28, height: 28 }), "Curlew");
document.getElementById("top").replaceChildren(home, statusBar.element, el("span", { class: "grow" }), button("Produce…", () => produce.open(url.state.topic), { id: "produce" }), session.signOutButton);
main.before(statusBar.banner);
document.body.append(produce.element, session.dialog, topicNames);

feed.on("topics", ({ topics }) => {
  if (!topics || topics.length === topicNames.childElementCount) return;
  topicNames.replaceChildren(...topics.slice(0, 500).map((topic) => el("option", { value: topic.name })));
});

/** `/` searches, space pauses, `p` produces; ignored while a control has the focus. */
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, button, summary, dialog, a");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") document.getElementById(url.state.topic ? "filter-text" : "search")?.focus();
  else if (event.key === " " && url.state.topic) document.getElementById("pause")?.click();
  else if (event.key === "p") produce.open(url.state.topic);
  else return;
  event.preventDefault();
});

url.onNavigate(() => {
  show();
  main.focus();
});
show();
