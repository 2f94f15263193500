// The pages beside the chat: status, connecting something, signing in.

import * as api from "./api.js";
import { copyButton, el } from "./dom.js";
import { problem } from "./items.js";

function panel(title, intro, ...children) {
  return el("div", { class: "panel" }, el("div", { class: "column" }, el("h2", { tabindex: "-1" }, title), el("p", { class: "muted" }, intro), children));
}

function section(title, ...children) {
  return el("section", { class: "card" }, el("h3", {}, title), children);
}

function badge(state, text) {
  return el("span", { class: "badge", "data-state": state }, text);
}

function facts(entries) {
  return el("dl", { class: "facts" }, entries.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { dir: "auto" }, value))));
}

// Status ----------------------------------------------------------------------------------------------------------

export function statusPanel(t, onSignedOut) {
  const body = el("div", { class: "sections", "aria-live": "polite" });
  const refresh = el("button", { type: "button", onclick: () => load() }, t.reload);

  async function load() {
    refresh.disabled = true;
    body.setAttribute("aria-busy", "true");
    const answers = await Promise.allSettled([api.readiness(), api.status(), api.models(), api.plugins()]);
    const [ready, status, models, plugins] = answers;
    refresh.disabled = false;
    body.removeAttribute("aria-busy");
    if (answers.some((answer) => answer.reason?.status === 401)) {
      onSignedOut();
      return;
    }
    body.replaceChildren(serverSection(ready, t), modelSection(models, status, t), pluginSection(plugins, t));
  }

  load();
  return panel(t.status, t.statusIntro, body, refresh);
}

function serverSection(ready, t) {
  if (ready.reason) return section(t.server, problem(ready.reason, t));
  const checks = Object.entries(ready.value.checks ?? {}).filter(([, state]) => state !== "ok");
  const isReady = ready.value.status === "ready";
  return section(
    t.server,
    facts([
      [t.status, badge(isReady ? "good" : "bad", isReady ? t.ready : t.notReady)],
      [t.version, ready.value.version ?? t.unknown],
      ...checks.map(([name, check]) => [name, badge("bad", check)]),
    ]),
  );
}

function modelSection(models, status, t) {
  if (models.reason) return section(t.models, problem(models.reason, t));
  const target = status.value?.targets?.default?.[0] ?? "";
  const isOffline = target.startsWith("offline/");
  return section(
    t.models,
    target && facts([[t.defaultModel, el("code", {}, target)]]),
    isOffline && el("p", { class: "hint" }, t.offlineModel, " ", el("a", { href: "#/connect" }, t.connectModel), "."),
    el("ul", { class: "chips" }, models.value.map((model) => el("li", {}, el("code", {}, model.id)))),
  );
}

const FINE = new Set(["running", "loaded", "enabled", "active", "disabled", "ok"]);

function pluginSection(plugins, t) {
  if (plugins.reason?.status === 403) return section(t.pluginsTitle, el("p", { class: "muted" }, t.pluginsHidden));
  if (plugins.reason) return section(t.pluginsTitle, problem(plugins.reason, t));
  const troubled = plugins.value.filter((plugin) => !FINE.has(plugin.state) || plugin.error);
  return section(
    t.pluginsTitle,
    troubled.length
      ? [
          el("p", {}, badge("bad", t.pluginsTroubled(troubled.length))),
          el(
            "dl",
            { class: "troubled" },
            troubled.map((plugin) => [
              el("dt", {}, el("code", {}, plugin.name), " ", badge("bad", plugin.state)),
              el("dd", { dir: "auto" }, reasonOf(plugin)),
            ]),
          ),
        ]
      : el("p", {}, badge("good", t.pluginsFine(plugins.value.length))),
  );
}

function reasonOf(plugin) {
  const error = plugin.error ?? plugin.reason ?? "";
  return typeof error === "string" ? error : [error.message, error.mend].filter(Boolean).join(" ");
}

// Connecting ------------------------------------------------------------------------------------------------------

export function connectPanel(t) {
  const base = api.address("v1");
  const curl = `curl ${base}/chat/completions \\
  -H "Authorization: Bearer $(iskra token show)" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "iskra", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'`;
  const python = `from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="…")  # the key: iskra token show
answer = client.chat.completions.create(
    model="iskra",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`;
  return panel(
    t.connect,
    t.connectIntro,
    el(
      "div",
      { class: "sections" },
      section(
        t.frontendTitle,
        el("p", {}, t.frontendHint),
        snippet(base, t, t.baseUrl),
        snippet("iskra token show", t, `${t.apiKey}. ${t.tokenHint}`),
        snippet(curl, t, t.curl),
        snippet(python, t, t.python),
      ),
      section(
        t.modelTitle,
        el("p", {}, t.modelHint),
        snippet("ISKRA_MODEL_URL=http://127.0.0.1:11434/v1\nISKRA_MODEL=qwen3", t, "env"),
        snippet("ISKRA_MODEL_KEY=…", t, t.keyHint),
      ),
    ),
  );
}

function snippet(text, t, title) {
  return el(
    "div",
    { class: "code", dir: "ltr" },
    el("div", { class: "code-head" }, el("span", { dir: "auto" }, title), copyButton(() => text, t)),
    el("pre", { tabindex: "0", role: "region", "aria-label": title }, el("code", {}, text)),
  );
}

// Signing in ------------------------------------------------------------------------------------------------------

export function signInPanel(t, onSignedIn) {
  const token = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true, dir: "ltr" });
  const note = el("div", { class: "note", role: "alert" });
  const button = el("button", { type: "submit" }, t.signIn);
  const form = el("form", { class: "token-form" }, el("label", { for: "token" }, t.orToken), token, button, note);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    note.replaceChildren();
    try {
      await api.signIn(token.value.trim());
      onSignedIn();
    } catch (error) {
      note.replaceChildren(problem(error, t));
      token.select();
    } finally {
      button.disabled = false;
    }
  });
  return el(
    "main",
    { class: "sign-in" },
    el("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: "48", height: "48" }),
    el("h1", { tabindex: "-1" }, t.signInTitle),
    el("p", {}, t.signInHint),
    snippet("iskra login", t, t.terminal),
    el("p", { class: "muted small" }, t.signInOnce),
    form,
  );
}
