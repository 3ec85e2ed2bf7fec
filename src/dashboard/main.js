// The page: header, current view and global keyboard shortcuts.

import { endpoint } from "./base.js";
import { button, el } from "./dom.js";
import * as feed from "./feed.js";
import { ShortcutsDialog, listenToKeys } from "./keyboard.js";
import { Overview } from "./overview.js";
import { ProduceDialog } from "./produce.js";
import { Session } from "./session.js";
import { StatusBar } from "./status.js";
import { TopicView } from "./topic.js";
import * as url from "./url.js";

const produce = new ProduceDialog();
const session = new Session();
const shortcuts = new ShortcutsDialog();
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
document.getElementById("top").replaceChildren(home, statusBar.element, el("span", { class: "grow" }), shortcuts.openButton, button("Produce…", () => produce.open(url.state.topic), { id: "produce" }), session.signOutButton);
main.before(statusBar.banner);
document.body.append(produce.element, session.dialog, shortcuts.element, topicNames);

feed.on("topics", ({ topics }) => {
  if (!topics || topics.length === topicNames.childElementCount) return;
  topicNames.replaceChildren(...topics.slice(0, 500).map((topic) => el("option", { value: topic.name })));
});

/** Returns an action for the page of a topic. On the overview, its key does nothing. */
const onTopic = (act) => () => (url.state.topic ? act(view) : false);

listenToKeys({
  search: () => document.getElementById(url.state.topic ? "filter-text" : "search")?.focus(),
  pause: onTopic((topic) => topic.togglePause()),
  zoomIn: onTopic((topic) => topic.navigation.zoomIn()),
  zoomOut: onTopic((topic) => topic.navigation.zoomOut()),
  earlier: onTopic((topic) => topic.navigation.earlier()),
  later: onTopic((topic) => topic.navigation.later()),
  live: onTopic((topic) => topic.navigation.live()),
  produce: () => produce.open(url.state.topic),
  help: () => shortcuts.open(),
});

url.onNavigate(() => {
  show();
  main.focus();
});
show();
