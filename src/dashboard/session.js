// Signing in, where the bridge asks who comes: a form as long as it answers 401, and who is signed in.

import { endpoint } from "./base.js";
import { announce, button, el, labelled, setText } from "./dom.js";
import * as feed from "./feed.js";

export class Session {
  constructor() {
    this.token = el("input", { type: "password", required: true, autocomplete: "current-password" });
    this.error = el("p", { class: "receipt bad", role: "alert" });
    this.signInButton = el("button", { class: "primary" }, "Sign in");
    const form = el("form", { onsubmit: (event) => { event.preventDefault(); this.signIn(); } },
      labelled("Key, token, or NAME:PASSWORD", this.token),
      el("div", { class: "actions" }, this.signInButton, this.error));
    this.dialog = el("dialog", { class: "session", "aria-labelledby": "session-title", oncancel: (event) => event.preventDefault() },
      el("h2", { id: "session-title" }, "Sign in"), form);
    this.signOutButton = button("", () => this.signOut(), { id: "sign-out", hidden: true });
    feed.on("topics", ({ broker }) => this.brokerChanged(broker));
    this.load();
  }

  /** The answers of the bridge say whether somebody is signed in; they may come late. */
  brokerChanged(broker) {
    if (broker?.kind === "signed-out" && !this.dialog.open && !this.isBusy) this.open();
    else if (broker?.kind === "up" && this.dialog.open && !this.isBusy) this.signedIn();
  }

  open() {
    this.signOutButton.hidden = true;
    this.dialog.showModal();
    this.token.focus();
  }

  /** In this tab, or in another one. */
  signedIn() {
    this.dialog.close();
    this.load();
  }

  async signIn() {
    this.isBusy = true;
    this.signInButton.disabled = true;
    setText(this.error, "");
    try {
      const body = JSON.stringify({ token: this.token.value.trim() });
      const response = await fetch(endpoint("login"), { method: "POST", headers: { "content-type": "application/json" }, body });
      const result = await response.json();
      if (!response.ok) throw new Error(response.status === 401 ? "This is not known here." : String(result.detail ?? response.status));
      this.token.value = "";
      this.dialog.close();
      this.show(result);
      announce("Signed in");
      feed.signedIn();
    } catch (error) {
      setText(this.error, error.message === "Failed to fetch" ? "Curlew does not answer" : error.message);
    } finally {
      this.signInButton.disabled = false;
      // What was asked before may still be answered.
      setTimeout(() => (this.isBusy = false), 1000);
    }
  }

  async signOut() {
    await fetch(endpoint("logout"), { method: "POST" }).catch(() => {});
    feed.signedOut();
    // Nothing that was read stays in the page.
    location.reload();
  }

  async load() {
    const result = await fetch(endpoint("login")).then((response) => response.json(), () => ({}));
    this.show(result);
  }

  show({ required, name }) {
    this.signOutButton.hidden = !required || !name;
    if (name) setText(this.signOutButton, `Sign out ${name}`);
  }
}
