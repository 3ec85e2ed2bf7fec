// The sign-in dialog, shown while the bridge answers 401, and the sign-out button.

import { endpoint } from "./base.js";
import { announce, button, el, labelled, setText } from "./dom.js";
import * as feed from "./feed.js";

/** The answer of `GET /login`: whether clients must sign in, and the name and rights of this client. Null until it is known. */
export let current = null;

const listeners = new Set();

/** Calls `listener` when `current` changes. Returns a function that ends that. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export class Session {
  constructor() {
    // Password managers recognize these names and autocomplete values.
    this.name = el("input", { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: false, "aria-describedby": "session-help" });
    this.secret = el("input", { name: "password", type: "password", required: true, autocomplete: "current-password" });
    this.error = el("p", { class: "receipt bad", role: "alert" });
    this.signInButton = el("button", { class: "primary", type: "submit" }, "Sign in");
    // If this script failed, a GET would put the password into the URL.
    const form = el("form", { method: "post", onsubmit: (event) => { event.preventDefault(); this.signIn(); } },
      labelled("Name", this.name),
      labelled("Password, key or token", this.secret),
      el("p", { class: "note", id: "session-help" }, "A key or a token works without a name, too."),
      el("div", { class: "actions" }, this.signInButton, this.error));
    this.dialog = el("dialog", { class: "session", "aria-labelledby": "session-title", oncancel: (event) => event.preventDefault() },
      el("h2", { id: "session-title" }, "Sign in"), form);
    this.signOutButton = button("", () => this.signOut(), { id: "sign-out", hidden: true });
    feed.on("topics", ({ broker }) => this.brokerChanged(broker));
    this.load();
  }

  /** Follows the poller: shows the dialog after a 401, and closes it after a sign-in in any tab. */
  brokerChanged(broker) {
    if (broker?.kind === "signed-out" && !this.dialog.open && !this.isBusy) this.open();
    else if (broker?.kind === "up" && this.dialog.open && !this.isBusy) this.signedIn();
  }

  open() {
    this.signOutButton.hidden = true;
    this.dialog.showModal();
    this.name.focus();
  }

  signedIn() {
    this.dialog.close();
    this.load();
  }

  async signIn() {
    this.isBusy = true;
    this.signInButton.disabled = true;
    setText(this.error, "");
    try {
      const name = this.name.value.trim();
      // A password may begin or end with a space, but a pasted key or token does not.
      const token = name ? `${name}:${this.secret.value}` : this.secret.value.trim();
      const body = JSON.stringify({ token });
      const response = await fetch(endpoint("login"), { method: "POST", headers: { "content-type": "application/json" }, body });
      const result = await response.json();
      if (!response.ok) throw new Error(response.status === 401 ? "The name, or the password, key or token is not valid." : String(result.detail ?? response.status));
      this.secret.value = "";
      this.dialog.close();
      this.show(result);
      announce("Signed in");
      feed.signedIn();
    } catch (error) {
      setText(this.error, error.message === "Failed to fetch" ? "No response from Curlew" : error.message);
    } finally {
      this.signInButton.disabled = false;
      // Responses to requests from before the sign-in may still arrive, and would reopen the dialog.
      setTimeout(() => (this.isBusy = false), 1000);
    }
  }

  async signOut() {
    await fetch(endpoint("logout"), { method: "POST" }).catch(() => {});
    feed.signedOut();
    // Discards all data that was loaded with the session.
    location.reload();
  }

  async load() {
    const result = await fetch(endpoint("login")).then((response) => response.json(), () => null);
    if (result) this.show(result);
  }

  show(result) {
    current = result;
    const { required, name } = result;
    this.signOutButton.hidden = !required || !name;
    if (name) setText(this.signOutButton, `Sign out ${name}`);
    listeners.forEach((listener) => listener());
  }
}
