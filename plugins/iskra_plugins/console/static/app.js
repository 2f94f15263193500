// Puts the page together and shows what the address asks for: #/ and #/s/<session>, #/status, #/connect.

import * as api from "./api.js";
import { Chat } from "./chat.js";
import { el, icon } from "./dom.js";
import { problem } from "./items.js";
import { connectPanel, signInPanel, statusPanel } from "./panels.js";
import { textsFor } from "./texts.js";

const t = textsFor(navigator.languages ?? [navigator.language]);
const SPOKEN = 12; // announcements kept for screen readers
const RETRY = 3000; // milliseconds between tries to reach the server at the start

document.documentElement.lang = t.language;

const calm = el("div", { class: "visually-hidden", role: "log", "aria-live": "polite" });
const urgent = el("div", { class: "visually-hidden", role: "alert" });

function announce(text, isUrgent = false) {
  const place = isUrgent ? urgent : calm;
  if (isUrgent) place.replaceChildren();
  place.append(el("p", {}, text));
  while (place.childElementCount > SPOKEN) place.firstElementChild.remove();
}

class App {
  constructor(models) {
    this.chat = new Chat(
      {
        t,
        announce,
        onSession: (id) => {
          history.pushState(null, "", `#/s/${id}`);
          this.refreshLists();
          this.markCurrent();
        },
        onChange: () => this.refreshSoon(),
        onSignedOut: () => this.signedOut(),
      },
      models,
    );
    this.build();
    this.onRoute = () => this.route();
    window.addEventListener("hashchange", this.onRoute);
    window.addEventListener("popstate", this.onRoute);
    this.onVisible = () => document.hidden || this.refreshLists();
    document.addEventListener("visibilitychange", this.onVisible);
    this.route();
    this.refreshLists();
  }

  build() {
    this.sessions = el("ul", { class: "sessions" });
    this.waiting = el("section", { class: "waiting", hidden: true });
    this.menuButton = el(
      "button",
      { type: "button", class: "quiet menu-button", "aria-label": t.menu, "aria-expanded": "false", "aria-controls": "sidebar", onclick: () => this.showMenu(true) },
      icon("menu"),
    );
    this.sidebar = el(
      "nav",
      { id: "sidebar", class: "sidebar", "aria-label": t.menu },
      el(
        "div",
        { class: "brand" },
        icon("spark"),
        el("span", {}, "Iskra"),
        el("button", { type: "button", class: "quiet close-menu", "aria-label": t.closeMenu, onclick: () => this.showMenu(false) }, icon("close")),
      ),
      el("a", { href: "#/", class: "new-chat" }, icon("plus"), t.newChat),
      this.waiting,
      el("h2", { class: "label" }, t.recent),
      this.sessions,
      el(
        "div",
        { class: "sidebar-foot" },
        el("a", { href: "#/status" }, t.status),
        el("a", { href: "#/connect" }, t.connect),
        el("button", { type: "button", class: "quiet", onclick: () => this.signOut() }, t.signOut),
      ),
    );
    this.sidebar.addEventListener("click", (event) => event.target.closest("a") && this.showMenu(false));
    this.sidebar.addEventListener("keydown", (event) => event.key === "Escape" && this.showMenu(false));
    this.backdrop = el("div", { class: "backdrop", onclick: () => this.showMenu(false) });
    this.title = el("h1", {}, "Iskra");
    this.content = el("main", { id: "content" });
    this.shell = el(
      "div",
      { class: "shell" },
      el("a", { href: "#message", class: "skip", onclick: (event) => this.skip(event) }, t.skip),
      this.sidebar,
      this.backdrop,
      el("div", { class: "main" }, el("header", { class: "top" }, this.menuButton, this.title), this.content),
    );
    document.body.replaceChildren(this.shell, calm, urgent);
  }

  skip(event) {
    event.preventDefault();
    (document.getElementById("message") ?? this.content.querySelector("h2"))?.focus();
  }

  showMenu(isOpen) {
    const wasOpen = this.shell.classList.contains("menu-open");
    this.shell.classList.toggle("menu-open", isOpen);
    this.menuButton.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.sidebar.querySelector("a").focus();
    else if (wasOpen) this.menuButton.focus();
  }

  route() {
    const [, place = "", id = ""] = location.hash.split("/");
    if (place === "status" || place === "connect") {
      this.chat.leave();
      const panel = place === "status" ? statusPanel(t, () => this.signedOut()) : connectPanel(t);
      this.content.replaceChildren(panel);
      panel.querySelector("h2").focus();
      this.setTitle(t[place]);
    } else {
      this.content.replaceChildren(this.chat.element);
      this.chat.open(place === "s" && id ? decodeURIComponent(id) : null);
      // On a phone the keyboard would cover the answer.
      if (matchMedia("(pointer: fine)").matches) this.chat.input.focus();
      this.setTitle("");
    }
    this.markCurrent();
  }

  setTitle(text) {
    this.title.textContent = text || "Iskra";
    document.title = text ? `${text} · Iskra` : "Iskra";
  }

  markCurrent() {
    for (const link of this.sidebar.querySelectorAll("a")) {
      const isCurrent = link.getAttribute("href") === (location.hash || "#/");
      if (isCurrent) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      if (isCurrent && link.closest(".sessions")) this.setTitle(link.textContent);
    }
  }

  refreshSoon() {
    clearTimeout(this.refreshTimer);
    this.refreshTimer = setTimeout(() => this.refreshLists(), 300);
  }

  async refreshLists() {
    const round = (this.refreshRound = (this.refreshRound ?? 0) + 1);
    const [sessions, approvals] = await Promise.allSettled([api.sessions(), api.approvals()]);
    if (round !== this.refreshRound) return; // a later look is newer, whichever answer comes first
    if (sessions.reason?.status === 401) {
      this.signedOut();
      return;
    }
    if (sessions.value) {
      const rows = sessions.value.map((session) => el("li", {}, el("a", { href: `#/s/${encodeURIComponent(session.id)}`, dir: "auto" }, session.title || t.untitledChat)));
      this.sessions.replaceChildren(...(rows.length ? rows : [el("li", { class: "muted small" }, t.noChats)]));
      this.markCurrent();
    }
    if (approvals.value) this.showWaiting(approvals.value);
  }

  showWaiting(approvals) {
    this.waiting.hidden = !approvals.length;
    this.menuButton.classList.toggle("has-news", approvals.length > 0);
    if (!approvals.length) return;
    this.waiting.replaceChildren(
      el("h2", { class: "label" }, t.waitingForYou),
      el("ul", {}, approvals.map((approval) => el("li", {}, el("a", { href: `#/s/${encodeURIComponent(approval.session_id)}` }, el("code", {}, approval.tool))))),
    );
  }

  async signOut() {
    try {
      await api.signOut();
    } catch (error) {
      if (error.status !== 401) {
        this.chat.fail(error);
        return;
      }
    }
    this.signedOut();
  }

  signedOut() {
    this.chat.close();
    clearTimeout(this.refreshTimer);
    sessionStorage.clear();
    window.removeEventListener("hashchange", this.onRoute);
    window.removeEventListener("popstate", this.onRoute);
    document.removeEventListener("visibilitychange", this.onVisible);
    showSignIn();
  }
}

function showSignIn() {
  const panel = signInPanel(t, start);
  document.body.replaceChildren(panel);
  document.title = `${t.signInTitle} · Iskra`;
  panel.querySelector("h1").focus();
}

async function start() {
  for (;;) {
    try {
      const models = await api.models();
      new App(models);
      return;
    } catch (error) {
      if (error.status === 401 || error.status === 403) {
        showSignIn();
        return;
      }
      document.body.replaceChildren(el("main", { class: "sign-in", role: "alert" }, el("h1", {}, "Iskra"), problem(error, t)));
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

start();
