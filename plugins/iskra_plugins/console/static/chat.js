// The chat: a conversation that follows its session's events, and the field to write in.

import * as api from "./api.js";
import { Conversation } from "./conversation.js";
import { el, icon } from "./dom.js";
import { EventStream } from "./events.js";
import { problem, viewOf } from "./items.js";

const STORED = "iskra.conversation";
const MOST_STORED = 1_500_000; // characters; a longer conversation is read from the server again
const NEAR_BOTTOM = 80; // pixels
const MODEL = "iskra.model";

export class Chat {
  /** @param {object} page `t`, `announce`, `onSession(id)`, `onChange()` and `onSignedOut()` */
  constructor(page, models) {
    this.page = page;
    this.t = page.t;
    this.models = models;
    this.views = new Map();
    this.conversation = null;
    this.stream = null;
    this.frame = 0;
    this.isAtBottom = true;
    this.keys = new Map(); // pending item -> idempotency key and model, kept for a second try
    this.build();
    this.onLeave = () => this.store();
    window.addEventListener("pagehide", this.onLeave);
    document.addEventListener("visibilitychange", this.onLeave);
  }

  build() {
    const { t } = this;
    this.log = el("ol", { class: "log", "aria-label": t.conversation });
    this.welcome = el(
      "div",
      { class: "welcome" },
      icon("spark"),
      el("h2", {}, t.welcome),
      el("p", { class: "muted" }, t.welcomeHint),
      el("div", { class: "suggestions" }, t.suggestions.map((text) => el("button", { type: "button", onclick: () => this.send(text) }, text))),
    );
    this.working = el("div", { class: "working", hidden: true }, el("span", { class: "pulse", "aria-hidden": "true" }), el("span", {}, t.working));
    this.trouble = el("div", { class: "trouble", role: "alert" });
    this.scroller = el("div", { class: "scroller", tabindex: "-1" }, el("div", { class: "column" }, this.welcome, this.log, this.working, this.trouble));
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.latest = el("button", { type: "button", class: "latest", hidden: true, "aria-label": t.latest, title: t.latest, onclick: () => this.toBottom() }, icon("down"));
    this.connection = el("span", { class: "connection", role: "status" });

    this.input = el("textarea", { id: "message", rows: "1", dir: "auto", placeholder: t.placeholder, "aria-describedby": "keys", enterkeyhint: "send" });
    this.input.addEventListener("input", () => this.drafted());
    this.input.addEventListener("keydown", (event) => {
      // While an input method composes a word, Enter belongs to it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.model = el("select", { id: "model" });
    this.model.addEventListener("change", () => localStorage.setItem(MODEL, this.model.value));
    this.showModels();
    this.sendButton = el("button", { type: "submit", class: "primary round", "aria-label": t.send, title: t.send }, icon("send"));
    this.stopButton = el("button", { type: "button", class: "round stop", hidden: true, "aria-label": t.stop, title: t.stop, onclick: () => this.stop() }, icon("stop"));
    this.form = el(
      "form",
      { class: "composer" },
      el("label", { for: "message", class: "visually-hidden" }, t.message),
      this.input,
      el(
        "div",
        { class: "composer-bar" },
        el("label", { for: "model", class: "visually-hidden" }, t.model),
        this.model,
        this.connection,
        el("span", { class: "spacer" }),
        this.stopButton,
        this.sendButton,
      ),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.input.value);
    });
    this.element = el(
      "div",
      { class: "chat" },
      this.scroller,
      el("div", { class: "dock" }, this.latest, el("div", { class: "column" }, this.form, el("p", { id: "keys", class: "keys" }, t.keys))),
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && this.conversation?.currentTurn) this.stop();
    });
  }

  showModels() {
    const wanted = this.conversation?.model ?? localStorage.getItem(MODEL) ?? "iskra";
    const options = this.models.map((model) => el("option", { value: model.id }, model.id));
    if (!this.models.some((model) => model.id === wanted)) {
      if (this.conversation?.model) options.unshift(el("option", { value: wanted }, `${wanted} (${this.t.modelMissing})`));
    }
    this.model.replaceChildren(...options);
    if (options.some((option) => option.value === wanted)) this.model.value = wanted;
  }

  // Sessions ------------------------------------------------------------------------------------------------------

  /** Show a session, or an empty chat where `id` is null. */
  open(id) {
    if (id === (this.conversation?.sessionId ?? null) && this.isOpen) return;
    this.leave();
    this.isOpen = true;
    this.input.value = sessionStorage.getItem(draftKey(id)) ?? "";
    this.resize();
    if (id) this.follow(new Conversation(id, storedFor(id)));
    this.update();
  }

  leave() {
    this.store();
    this.stream?.close();
    this.stream = null;
    this.conversation = null;
    this.isOpen = false;
    this.views.clear();
    this.log.replaceChildren();
    this.trouble.replaceChildren();
    this.connection.textContent = "";
    this.isAtBottom = true;
  }

  close() {
    this.leave();
    cancelAnimationFrame(this.frame);
    window.removeEventListener("pagehide", this.onLeave);
    document.removeEventListener("visibilitychange", this.onLeave);
  }

  follow(conversation) {
    this.conversation = conversation;
    const isCurrent = () => this.conversation === conversation;
    api
      .session(conversation.sessionId)
      .then((session) => {
        conversation.model = session.agent;
        if (isCurrent()) this.showModels();
      })
      .catch(() => {}); // The stream meets the same refusal and shows it.
    this.stream = new EventStream(conversation.sessionId, {
      cursor: () => {
        conversation.needsResync = false;
        return conversation.cursor;
      },
      onEvent: (event) => {
        if (!conversation.apply(event)) return;
        if (conversation.needsResync) this.stream?.restart();
        if (/^(turn|approval)\.|^session\.updated$/.test(event.type)) this.page.onChange();
        if (isCurrent()) this.schedule();
      },
      onState: (state, error) => isCurrent() && this.connectionChanged(state, error),
    });
  }

  connectionChanged(state, error) {
    if (this.connection.dataset.state !== state) {
      this.connection.dataset.state = state;
      // A short "connecting" between two good states would only flicker.
      this.connection.textContent = state === "live" || state === "connecting" || state === "paused" ? "" : this.t.connection[state];
      this.connection.title = this.t.connection[state];
    }
    if (state !== "ended") return;
    sessionStorage.removeItem(STORED);
    if (error.status === 401) this.page.onSignedOut();
    else if (error.status === 404) this.fail({ message: this.t.notFound, mend: this.t.notFoundMend });
    else this.fail(error);
  }

  store() {
    if (!this.conversation) return;
    const text = JSON.stringify({ id: this.conversation.sessionId, ...this.conversation.toJSON() });
    try {
      if (text.length > MOST_STORED) sessionStorage.removeItem(STORED);
      else sessionStorage.setItem(STORED, text);
    } catch {
      sessionStorage.removeItem(STORED);
    }
  }

  // Acting --------------------------------------------------------------------------------------------------------

  async send(text) {
    text = text.trim();
    if (!text || this.isCreating) return;
    this.trouble.replaceChildren();
    this.clearInput();
    this.isAtBottom = true;
    if (this.conversation?.openQuestion) {
      try {
        await api.answerQuestion(this.conversation.sessionId, text);
        return;
      } catch (error) {
        this.restore(text);
        this.fail(error);
        return;
      }
    }
    if (!this.conversation && !(await this.create(text))) return;
    const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const item = this.conversation.addPending(key, text);
    this.keys.set(item.key, { key, model: this.model.value });
    this.update();
    await this.submit(item);
  }

  async create(text) {
    this.isCreating = true;
    try {
      const session = await api.createSession({ title: titleOf(text), agent: this.model.value });
      this.follow(new Conversation(session.id));
      this.page.onSession(session.id);
      return true;
    } catch (error) {
      this.restore(text);
      this.fail(error);
      return false;
    } finally {
      this.isCreating = false;
    }
  }

  async submit(item) {
    const { conversation } = this;
    const { key, model } = this.keys.get(item.key);
    conversation.put(item.key, { state: "sending" });
    this.update();
    try {
      conversation.accepted(key, await api.startTurn(conversation.sessionId, item.text, model, key));
      this.keys.delete(item.key);
    } catch (error) {
      if (error.status === 401) this.page.onSignedOut();
      // Where the answer got lost but the turn has begun, there is nothing to send again.
      if (conversation.byKey.has(item.key)) conversation.put(item.key, { state: "unsent", error: plain(error) });
    }
    if (conversation === this.conversation) this.update();
    this.page.onChange();
  }

  async stop() {
    const turn = this.conversation?.currentTurn;
    if (!turn) return;
    this.stopButton.disabled = true;
    try {
      await api.cancelTurn(turn.id);
    } catch (error) {
      this.fail(error);
    } finally {
      this.stopButton.disabled = false;
      this.input.focus();
    }
  }

  fail(error) {
    if (error.status === 401) this.page.onSignedOut();
    else this.trouble.replaceChildren(el("div", { class: "problem" }, problem(error, this.t)));
    this.schedule();
  }

  // The field -----------------------------------------------------------------------------------------------------

  drafted() {
    this.resize();
    const key = draftKey(this.conversation?.sessionId);
    if (this.input.value) sessionStorage.setItem(key, this.input.value.slice(0, 100_000));
    else sessionStorage.removeItem(key);
  }

  clearInput() {
    this.input.value = "";
    this.drafted();
  }

  restore(text) {
    if (!this.input.value) this.input.value = text;
    this.drafted();
  }

  resize() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, window.innerHeight * 0.4)}px`;
  }

  // Showing -------------------------------------------------------------------------------------------------------

  /** Draw at most once per frame, however many events come. */
  schedule() {
    this.frame ||= requestAnimationFrame(() => this.update());
  }

  update() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { conversation } = this;
    const page = {
      t: this.t,
      announce: this.page.announce,
      decide: (item, isApproved, remark, remember) => api.decide(item.id, isApproved, remark, remember),
      answer: (text) => api.answerQuestion(conversation.sessionId, text),
      retry: (item) => this.submit(item),
    };
    for (const key of conversation?.takeChanges() ?? []) this.show(key, conversation.byKey.get(key), page);
    const turn = conversation?.currentTurn ?? null;
    const isBusy = conversation?.items.some((item) => (item.state === "open" && item.text) || item.state === "running");
    this.working.hidden = turn?.state !== "running" || Boolean(isBusy);
    this.welcome.hidden = Boolean(conversation);
    this.stopButton.hidden = !turn;
    this.input.placeholder = conversation?.openQuestion ? this.t.yourAnswer : this.t.placeholder;
    if (this.isAtBottom) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  show(key, item, page) {
    let view = this.views.get(key);
    if (!item) {
      view?.element.remove();
      this.views.delete(key);
      return;
    }
    if (!view) {
      view = viewOf(item, page);
      this.views.set(key, view);
      // What waits to be sent stays last.
      const firstPending = item.kind === "pending" ? null : this.log.querySelector(".pending");
      this.log.insertBefore(view.element, firstPending);
    }
    view.update(item);
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.isAtBottom = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM;
    this.latest.hidden = this.isAtBottom;
  }

  toBottom() {
    this.isAtBottom = true;
    this.latest.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.input.focus();
  }
}

function draftKey(id) {
  return `iskra.draft.${id ?? "new"}`;
}

function storedFor(id) {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return stored?.id === id ? stored : null;
  } catch {
    return null;
  }
}

function plain({ message, mend, status, correlationId }) {
  return { message, mend, status, correlationId };
}

function titleOf(text) {
  const line = text.split("\n", 1)[0];
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line;
}
