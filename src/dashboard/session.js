// Signing in, where the bridge asks who comes: a form as long as it answers 401, and who is signed in.

import { endpoint } from "./base.js";
import { announce, button, el, labelled, setText } from "./dom.js";
import * as feed from "./feed.js";

export class Session {
  constructor() {
    this.token = el("input", { type: "password", required: true, autocomplete: "current-password" });
    this.said = el("p", { class: "receipt bad", role: "alert" });
    this.send = el("button", { class: "primary" }, "Sign in");
    const form = el("form", { onsubmit: (event) => { event.preventDefault(); this.signIn(); } },
      labelled("Key, token, or NAME:PASSWORD", this.token),
      el("div", { class: "actions" }, this.send, this.said));
    this.dialog = el("dialog", { class: "session", "aria-labelledby": "session-title", oncancel: (event) => event.preventDefault() },
      el("h2", { id: "session-title" }, "Sign in"), form);
    this.out = button("", () => this.signOut(), { id: "sign-out", hidden: true });
    feed.on("topics", ({ broker }) => this.hear(broker));
    this.look();
  }

  /** The answers of the bridge say whether somebody is signed in; they may come late. */
  hear(broker) {
    if (broker?.kind === "locked" && !this.dialog.open && !this.isBusy) this.ask();
    else if (broker?.kind === "up" && this.dialog.open && !this.isBusy) this.opened();
  }

  ask() {
    this.out.hidden = true;
    this.dialog.showModal();
    this.token.focus();
  }

  /** In this tab, or in another one. */
  opened() {
    this.dialog.close();
    this.look();
  }

  async signIn() {
    this.isBusy = true;
    this.send.disabled = true;
    setText(this.said, "");
    try {
      const body = JSON.stringify({ token: this.token.value.trim() });
      const answer = await fetch(endpoint("login"), { method: "POST", headers: { "content-type": "application/json" }, body });
      const said = await answer.json();
      if (!answer.ok) throw new Error(answer.status === 401 ? "This is not known here." : String(said.detail ?? answer.status));
      this.token.value = "";
      this.dialog.close();
      this.show(said);
      announce("Signed in");
      feed.signed("in");
    } catch (error) {
      setText(this.said, error.message === "Failed to fetch" ? "Curlew does not answer" : error.message);
    } finally {
      this.send.disabled = false;
      // What was asked before may still be answered.
      setTimeout(() => (this.isBusy = false), 1000);
    }
  }

  async signOut() {
    await fetch(endpoint("logout"), { method: "POST" }).catch(() => {});
    feed.signed("out");
    // Nothing that was read stays in the page.
    location.reload();
  }

  async look() {
    const said = await fetch(endpoint("login")).then((answer) => answer.json(), () => ({}));
    this.show(said);
  }

  show({ required, name }) {
    this.out.hidden = !required || !name;
    if (name) setText(this.out, `Sign out ${name}`);
  }
}
