// The page: header, current view and global keyboard shortcuts.

import { endpoint } from "./base.js";
import { button, el } from "./dom.js";
import * as feed from "./feed.js";
import { ShortcutsDialog, listenToKeys } from "./keyboard.js";
import { Overview } from "./overview.js";
import { ProduceDialog } from "./produce.js";
import { Session } from "./session.js";
import { StatusBar } from "./status.js";
import * as url from "./url.js";

const produce = new ProduceDialog();
const session = new Session();
const shortcuts = new ShortcutsDialog();
const statusBar = new StatusBar();
const topicNames = el("datalist", { id: "topic-names" });
/** The most topics that the forms suggest. */
const MAX_TOPIC_NAMES = 500;
let suggested = "";
const main = document.getElementById("main");
let view = null;
/** Identifies the latest call of `show`. An earlier one, which still loads its modules, ends without an effect. */
let opening = null;

/** Loads the modules of a topic's page. They are most of the scripts, and the overview does not need them. */
async function loadTopicView() {
  document.head.append(document.getElementById("topic-modules").content);
  return (await import("./topic.js")).TopicView;
}

/** Shows the view of the URL. */
async function show() {
  const own = (opening = {});
  const { topic } = url.state;
  view?.stop();
  view = null;
  document.title = topic ? `${topic} · Curlew` : "Curlew";
  const TopicView = topic ? await loadTopicView().catch(() => null) : null;
  if (own !== opening) return;
  if (topic && !TopicView) return main.replaceChildren(el("p", { class: "banner", role: "alert" }, "The page of this topic did not load.", button("Reload", () => location.reload(), { class: "small strong" })));
  view = topic ? new TopicView(produce) : new Overview();
  main.replaceChildren(view.element);
}

const home = el("a", { ...url.link({}), class: "home" }, el("img", { src: endpoint("dashboard/icon.svg"), alt: "", width: 28, height: 28 }), "Curlew");
document.getElementById("top").replaceChildren(home, statusBar.element, el("span", { class: "grow" }), shortcuts.openButton, button("Produce…", () => produce.open(url.state.topic), { id: "produce" }), session.signOutButton);
main.before(statusBar.banner);
document.body.append(produce.element, session.dialog, shortcuts.element, topicNames);

feed.on("topics", ({ topics }) => {
  const names = topics?.slice(0, MAX_TOPIC_NAMES).map(({ name }) => name);
  if (!names || names.join() === suggested) return;
  suggested = names.join();
  topicNames.replaceChildren(...names.map((value) => el("option", { value })));
});

/** Returns an action for the page of a topic. On the overview, its key does nothing. */
const onTopic = (act) => () => (url.state.topic && view ? act(view) : false);

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
