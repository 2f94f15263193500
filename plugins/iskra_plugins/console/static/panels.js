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
    const [health, ready, models, plugins] = await Promise.allSettled([api.health(), api.readiness(), api.models(), api.plugins()]);
    refresh.disabled = false;
    body.removeAttribute("aria-busy");
    if (models.reason?.status === 401) {
      onSignedOut();
      return;
    }
    body.replaceChildren(serverSection(health, ready, t), modelSection(models, t), pluginSection(plugins, t));
  }

  load();
  return panel(t.status, t.statusIntro, body, refresh);
}

function serverSection(health, ready, t) {
  if (health.reason) return section(t.server, problem(health.reason, t));
  const checks = Object.entries(ready.value?.checks ?? {});
  const isReady = ready.value?.status === "ready";
  return section(
    t.server,
    facts([
      [t.status, badge(isReady ? "good" : "bad", isReady ? t.ready : t.notReady)],
      [t.version, health.value.version ?? t.unknown],
      ...checks.map(([name, check]) => [name, checkValue(check, t)]),
    ]),
  );
}

function checkValue(check, t) {
  const isGood = check === true || check === "ok" || check?.ok === true || check?.status === "ok";
  const detail = typeof check === "string" ? check : (check?.detail ?? "");
  return [badge(isGood ? "good" : "bad", isGood ? t.ready : t.notReady), detail && detail !== "ok" && ` ${detail}`];
}

/** The target that answers for `llm:default`, where the server tells it. */
export function defaultTarget(models) {
  const entry = models.find((model) => model.id === "llm:default");
  return entry?.target ?? entry?.targets?.[0] ?? "";
}

function modelSection(models, t) {
  if (models.reason) return section(t.models, problem(models.reason, t));
  const target = defaultTarget(models.value);
  const isOffline = target.startsWith("offline");
  return section(
    t.models,
    target && facts([[t.defaultModel, el("code", {}, target)]]),
    isOffline && el("p", { class: "hint" }, t.offlineModel, " ", el("a", { href: "#/connect" }, t.connectModel), "."),
    el("ul", { class: "chips" }, models.value.map((model) => el("li", { title: model.description }, el("code", {}, model.id)))),
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
        snippet("ISKRA_MODEL_URL=http://127.0.0.1:11434/v1\nISKRA_MODEL=*", t, "env"),
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

export function signInPanel(t) {
  return el(
    "main",
    { class: "sign-in" },
    el("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: "48", height: "48" }),
    el("h1", { tabindex: "-1" }, t.signInTitle),
    el("p", {}, t.signInHint),
    snippet("iskra login", t, t.terminal),
    el("p", { class: "muted small" }, t.signInOnce),
  );
}
