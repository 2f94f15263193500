// One view per item of a conversation. Each has the element and a function that brings it up to date.

import { el, visibleText } from "./dom.js";
import { MarkdownView } from "./markdown.js";

/**
 * @param {object} item from the conversation
 * @param {object} page `t` (texts), `announce(text, isUrgent)`, `decide(item, isApproved, remark, remember)`, `answer(text)`,
 *     `retry(item)`
 */
export function viewOf(item, page) {
  return VIEWS[item.kind](item, page);
}

const VIEWS = { user, pending, assistant, agent, tool, approval, question, end };

function row(className, ...children) {
  return el("li", { class: `row ${className}` }, children);
}

function user(item, { t }) {
  const bubble = el("div", { class: "bubble", dir: "auto" }, item.text);
  return { element: row("user", el("span", { class: "visually-hidden" }, `${t.you}: `), bubble), update() {} };
}

function pending(item, { t, retry }) {
  const note = el("div", { class: "note", role: "status" });
  const element = row("user pending", el("div", { class: "bubble", dir: "auto" }, item.text), note);
  const update = (now) => {
    if (now.state === "unsent") {
      note.replaceChildren(
        problem(now.error, t, t.notSent),
        el("button", { type: "button", onclick: () => retry(now) }, t.retry),
      );
    } else {
      note.textContent = now.state === "queued" ? t.queued : t.sending;
    }
  };
  return { element, update };
}

function assistant(item, { t, announce }) {
  const body = el("div", { class: "markdown" });
  const thoughts = el("div", { class: "thoughts", dir: "auto" });
  const summary = el("summary", {});
  const reasoning = el("details", { class: "reasoning", hidden: true }, summary, thoughts);
  const element = row("assistant", reasoning, body);
  const isStreamed = item.state === "open";
  const markdown = new MarkdownView(body, t, (node) => isStreamed && announce(spoken(node)));
  let shownReasoning = "";
  return {
    element,
    update(now) {
      element.hidden = !now.text && !now.reasoning;
      if (now.reasoning !== shownReasoning) {
        if (now.reasoning.startsWith(shownReasoning)) thoughts.append(now.reasoning.slice(shownReasoning.length));
        else thoughts.textContent = now.reasoning;
        shownReasoning = now.reasoning;
        reasoning.hidden = !now.reasoning;
      }
      summary.textContent = now.state === "open" && !now.text ? t.thinking : t.thoughts;
      markdown.show(now.text);
      if (now.state === "done") markdown.finish();
      element.classList.toggle("is-streaming", now.state === "open" && Boolean(now.text));
    },
  };
}

function spoken(node) {
  return node.classList.contains("code") ? node.querySelector("pre").textContent : node.textContent;
}

function agent(item, { t }) {
  return { element: row("notice", el("span", {}, t.handedTo(item.to))), update() {} };
}

function tool(item, { t }) {
  const summary = el("summary", {});
  const body = el("div", { class: "tool-body" });
  const details = el("details", {}, summary, body);
  const element = row("tool", details);
  return {
    element,
    update(now) {
      element.dataset.state = now.state;
      const seconds = typeof now.seconds === "number" && now.seconds >= 0.1 ? t.seconds(now.seconds.toFixed(1)) : "";
      summary.replaceChildren(
        el("span", { class: "state-dot", "aria-hidden": "true" }),
        el("span", { class: "tool-name" }, now.tool ?? t.toolCall),
        el("span", { class: "tool-hint", dir: "auto" }, hint(now.arguments)),
        el("span", { class: "tool-state" }, [t.tool[now.state] ?? now.state, seconds].filter(Boolean).join(" · ")),
      );
      const parts = [argumentList(now.arguments ?? {}, t)];
      if (now.message) parts.push(el("p", { class: "problem-what", dir: "auto" }, visibleText(now.message)));
      if (now.content) {
        parts.push(
          el("div", { class: "label" }, t.result),
          el("pre", { tabindex: "0", dir: "auto", role: "region", "aria-label": t.result }, visibleText(now.content, { marksLines: false })),
        );
      }
      body.replaceChildren(...parts);
    },
  };
}

function hint(values) {
  const first = Object.values(values ?? {}).find((value) => typeof value === "string" || typeof value === "number");
  return first === undefined ? "" : visibleText(String(first).slice(0, 120));
}

function argumentList(values, t) {
  const entries = Object.entries(values);
  if (!entries.length) return el("p", { class: "muted" }, t.noArguments);
  return el(
    "dl",
    { class: "arguments" },
    entries.map(([name, value]) => [
      el("dt", {}, visibleText(name)),
      el("dd", {}, el("pre", { tabindex: "0", dir: "auto", role: "region", "aria-label": name }, visibleText(typeof value === "string" ? value : JSON.stringify(value, null, 1)))),
    ]),
  );
}

/** A tool call that waits for a person: the exact call, two buttons, a remark. */
function approval(item, { t, announce, decide }) {
  const titleId = `approval-${item.id}`;
  const element = row("approval");
  const card = el("section", { class: "card", "aria-labelledby": titleId });
  element.append(card);
  const remark = el("input", { type: "text", id: `remark-${item.id}`, maxlength: "1000", autocomplete: "off", dir: "auto" });
  const note = el("div", { class: "note", role: "status" });
  const buttons = [
    el("button", { type: "button", class: "primary approve", onclick: () => send(true) }, t.approve),
    item.offersRule && el("button", { type: "button", class: "always", onclick: () => send(true, true) }, t.approveAlways),
    el("button", { type: "button", class: "deny", onclick: () => send(false) }, t.deny),
  ].filter(Boolean);
  let current = item;
  let isDeciding = false;

  async function send(isApproved, remember = false) {
    isDeciding = true;
    buttons.forEach((button) => (button.disabled = true));
    note.replaceChildren();
    try {
      await decide(current, isApproved, remark.value.trim(), remember);
    } catch (error) {
      isDeciding = false;
      buttons.forEach((button) => (button.disabled = false));
      note.replaceChildren(problem(error, t, error.status === 409 ? t.alreadyDecided : ""));
    }
  }

  const values = parse(item.arguments);
  // The server's preview repeats name and arguments where a tool has none of its own.
  const hasPreview = item.preview && !/^\S+ [{[]/.test(item.preview);
  const call = [
    hasPreview && el("pre", { class: "preview", tabindex: "0", dir: "auto", role: "region", "aria-label": t.approvalTitle }, visibleText(item.preview, { marksLines: false })),
    argumentList(values, t),
    el("details", { class: "exact" }, el("summary", {}, t.exactJson), el("pre", { tabindex: "0", dir: "ltr", role: "region", "aria-label": t.exactJson }, visibleText(String(item.arguments ?? "")))),
  ];
  const heading = el("h3", { id: titleId });
  const who = el("p", { class: "call-name" }, el("code", {}, visibleText(item.tool ?? "")), el("span", { class: `risk risk-${item.risk}` }, t.risk[item.risk] ?? item.risk));
  const expires = item.expiresAt && el("span", {}, t.expires(when(item.expiresAt, t)), " ");
  const form = el(
    "div",
    { class: "decision" },
    el("label", { for: remark.id }, t.remark),
    remark,
    el("div", { class: "buttons" }, buttons),
    note,
    el("p", { class: "muted small" }, expires, item.code && el("span", {}, t.byCode(item.code))),
  );

  return {
    element,
    update(now) {
      const isFirst = !card.childElementCount;
      current = now;
      card.dataset.state = now.state;
      if (now.state === "open") {
        if (!isFirst) return;
        heading.textContent = t.approvalTitle;
        card.replaceChildren(heading, who);
        if (now.reason) card.append(el("p", { dir: "auto" }, visibleText(now.reason)));
        card.append(...call.filter(Boolean), form);
        announce(t.approvalAnnounce(now.tool), true);
      } else {
        // The button that was pressed is gone: without a new place the focus would fall back to the top of the page.
        const needsFocus = isDeciding || card.contains(document.activeElement);
        heading.textContent = [t.approvalState[now.state] ?? now.state, now.by && t.by(now.by)].filter(Boolean).join(" ");
        const shown = el("details", {}, el("summary", {}, t.arguments), call.filter(Boolean));
        card.replaceChildren(heading, who);
        if (now.remark) card.append(el("p", { class: "remark", dir: "auto" }, visibleText(now.remark)));
        card.append(shown);
        if (!isFirst) announce(`${heading.textContent}: ${now.tool}`);
        if (needsFocus) document.getElementById("message")?.focus();
      }
    },
  };
}

function parse(text) {
  try {
    const value = typeof text === "string" ? JSON.parse(text) : text;
    return value && typeof value === "object" ? value : { value };
  } catch {
    return { value: text };
  }
}

function when(time, t) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  const options = isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(t.locale, options).format(date);
}

function question(item, { t, announce, answer }) {
  const note = el("div", { class: "note", role: "status" });
  const card = el("section", { class: "card", "aria-label": t.questionTitle });
  const element = row("question", card);
  const choose = async (option, buttons) => {
    buttons.forEach((button) => (button.disabled = true));
    try {
      await answer(option);
    } catch (error) {
      buttons.forEach((button) => (button.disabled = false));
      note.replaceChildren(problem(error, t));
    }
  };
  return {
    element,
    update(now) {
      const text = el("div", { class: "markdown" });
      const markdown = new MarkdownView(text, t);
      markdown.show(now.question ?? "");
      markdown.finish();
      card.replaceChildren(el("h3", {}, t.questionTitle), text);
      card.dataset.state = now.state;
      if (now.state === "open") {
        const buttons = now.options.map((option) => el("button", { type: "button", dir: "auto" }, option));
        buttons.forEach((button, index) => button.addEventListener("click", () => choose(now.options[index], buttons)));
        if (buttons.length) card.append(el("div", { class: "buttons", role: "group", "aria-label": t.options }, buttons));
        card.append(note, el("p", { class: "muted small" }, t.answerBelow));
        announce(t.questionAnnounce(now.question), true);
      } else if (now.answer !== undefined) {
        card.append(el("p", { class: "remark", dir: "auto" }, now.answer));
      }
    },
  };
}

// The server's word for a stop by button, which needs no explanation.
const BY_USER = "cancelled by the user";

function end(item, { t, announce }) {
  const element =
    item.state === "failed"
      ? row("failure", el("div", { class: "problem", role: "group" }, problem(item, t, t.failed)))
      : row("notice", el("span", { dir: "auto" }, t.stopped, item.reason && item.reason !== BY_USER && ` ${item.reason}`));
  announce(element.textContent);
  return { element, update() {} };
}

/** What happened, why, and how to mend it. */
export function problem(error, t, title = "") {
  const isUnreachable = error?.status === 0;
  const what = isUnreachable ? t.unreachable : error?.message || t.somethingWrong;
  const mend = isUnreachable ? t.unreachableMend : error?.mend;
  return el(
    "div",
    { class: "problem-text", dir: "auto" },
    title && el("strong", {}, title, " "),
    el("span", {}, visibleText(what)),
    mend && el("p", {}, el("span", { class: "label" }, t.mend, " "), visibleText(mend)),
    error?.correlationId && el("p", { class: "muted small" }, t.reference, " ", el("code", {}, error.correlationId)),
  );
}

