// Renders Markdown as DOM nodes. The text comes from a model and is hostile until shown otherwise:
// no string becomes markup, links lead only to http, https and mailto, and nothing is loaded by itself.

import { copyButton, el } from "./dom.js";

const DEEPEST = 12; // nested lists and quotes; more is shown as plain text
const LONGEST_LINK = 2000; // characters of a link target
const LONGEST_INLINE = 20_000; // characters of one paragraph; a longer one is shown as plain text

// Blocks ----------------------------------------------------------------------------------------------------------

// The patterns are written so that no input makes them slow: no two neighbours may match the same character.
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t](.*))?$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:([ \t]+)(.*))?$/;
const QUOTE = /^ {0,3}> ?/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const BLANK = /^[ \t]*$/;

/** Splits lines into blocks, each with the number of its first line. */
function blocksOf(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (BLANK.test(lines[at])) {
      at += 1;
      continue;
    }
    const block = blockAt(lines, at, depth);
    block.line = at;
    blocks.push(block);
    at = block.end;
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return codeBlock(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return { kind: "heading", level: heading[1].length, text: headingText(heading[2] ?? ""), end: at + 1 };
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (depth < DEEPEST) {
    if (QUOTE.test(line)) return quote(lines, at);
    if (ITEM.test(line)) return list(lines, at);
  }
  if (/^(?: {4}|\t)/.test(line)) return indentedCode(lines, at);
  if (startsTable(lines, at)) return table(lines, at);
  return paragraph(lines, at);
}

function headingText(text) {
  const trimmed = text.trim();
  let end = trimmed.length;
  while (trimmed[end - 1] === "#") end -= 1;
  return end < trimmed.length && (end === 0 || trimmed[end - 1] === " ") ? trimmed.slice(0, end).trimEnd() : trimmed;
}

function codeBlock(lines, at, [opening, mark, info]) {
  const indent = opening.length - opening.trimStart().length;
  const strip = new RegExp(`^ {0,${indent}}`);
  const closing = new RegExp(`^ {0,3}\\${mark[0]}{${mark.length},}[ \\t]*$`);
  let end = at + 1;
  const body = [];
  while (end < lines.length && !closing.test(lines[end])) {
    body.push(indent ? lines[end].replace(strip, "") : lines[end]);
    end += 1;
  }
  return { kind: "code", language: info.trim().split(/\s/)[0], text: body.join("\n"), end: Math.min(end + 1, lines.length) };
}

function indentedCode(lines, at) {
  let end = at;
  while (end < lines.length && (/^(?: {4}|\t)/.test(lines[end]) || BLANK.test(lines[end]))) end += 1;
  while (BLANK.test(lines[end - 1])) end -= 1;
  const text = lines.slice(at, end).map((line) => line.replace(/^(?: {4}|\t)/, "")).join("\n");
  return { kind: "code", language: "", text, end };
}

function quote(lines, at) {
  let end = at;
  const inner = [];
  while (end < lines.length) {
    const isQuoted = QUOTE.test(lines[end]);
    if (!isQuoted && (BLANK.test(lines[end]) || interrupts(lines, end))) break;
    inner.push(isQuoted ? lines[end].replace(QUOTE, "") : lines[end]);
    end += 1;
  }
  return { kind: "quote", lines: inner, end };
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  const marker = first[2].at(-1);
  const items = [];
  let loose = false;
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[2].at(-1) !== marker || (RULE.test(lines[end]) && items.length)) break;
    const padding = item[3] && item[3].length <= 4 ? item[3].length : 1;
    const width = item[1].length + item[2].length + padding;
    const inner = [(item[3] ?? "").slice(padding) + (item[4] ?? "")];
    const indented = new RegExp(`^(?: {${width}}|\\t)`);
    let blanks = 0;
    end += 1;
    for (; end < lines.length; end += 1) {
      const line = lines[end];
      if (BLANK.test(line)) {
        blanks += 1;
        continue;
      }
      const belongs = indented.test(line) || (/^ {2,}/.test(line) && ITEM.test(line.trimStart()) && width > 2);
      if (!belongs && (blanks || ITEM.test(line) || interrupts(lines, end))) break;
      if (blanks) loose = loose || !ITEM.test(line.trimStart());
      for (; blanks; blanks -= 1) inner.push("");
      inner.push(indented.test(line) ? line.replace(indented, "") : line.trimStart());
    }
    items.push(inner);
    if (blanks && end < lines.length && ITEM.exec(lines[end])?.[2].at(-1) === marker) loose = true;
  }
  while (end > at + 1 && BLANK.test(lines[end - 1])) end -= 1;
  const ordered = marker === "." || marker === ")";
  return { kind: "list", ordered, start: ordered ? parseInt(first[2], 10) : 1, items, loose, end };
}

function startsTable(lines, at) {
  return (
    lines[at].includes("|") &&
    at + 1 < lines.length &&
    DELIMITER_ROW.test(lines[at + 1]) &&
    cells(lines[at]).length === cells(lines[at + 1]).length
  );
}

function table(lines, at) {
  const head = cells(lines[at]);
  const align = cells(lines[at + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "end") : "start",
  );
  const rows = [];
  let end = at + 2;
  while (end < lines.length && !BLANK.test(lines[end]) && !interrupts(lines, end)) {
    rows.push(cells(lines[end]));
    end += 1;
  }
  return { kind: "table", head, align, rows, end };
}

function cells(line) {
  const trimmed = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return trimmed.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function interrupts(lines, at) {
  const line = lines[at];
  const item = ITEM.exec(line);
  return (
    FENCE.test(line) ||
    HEADING.test(line) ||
    RULE.test(line) ||
    QUOTE.test(line) ||
    Boolean(item && item[4]) ||
    startsTable(lines, at)
  );
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !BLANK.test(lines[end]) && !interrupts(lines, end)) end += 1;
  return { kind: "paragraph", text: lines.slice(at, end).map((line) => line.trimStart()).join("\n"), end };
}

// Inline ----------------------------------------------------------------------------------------------------------

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const BARE_URL = /https?:\/\/[^\s<>"'`|\\^{}[\]]{1,2000}/y;
const AUTOLINK = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const BREAK = /<br ?\/?>/iy;
const SPACE = /^[\s\u00a0]$/u;
const PUNCTUATION = /^[\p{P}\p{S}]$/u;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/** Returns the nodes of a text with emphasis, code, links. Works in one pass with a stack, as CommonMark describes. */
export function inline(text, t) {
  if (text.length > LONGEST_INLINE) return [text];
  const parts = [];
  const brackets = [];
  let plain = "";
  let at = 0;

  const flush = () => {
    if (plain) parts.push({ node: document.createTextNode(plain) });
    plain = "";
  };
  const put = (node) => {
    flush();
    parts.push({ node });
  };

  while (at < text.length) {
    const character = text[at];
    if (character === "\\" && at + 1 < text.length && ESCAPABLE.test(text[at + 1])) {
      plain += text[at + 1];
      at += 2;
    } else if (character === "\n") {
      plain = (text[at - 1] === "\\" ? plain.slice(0, -1) : plain).trimEnd();
      put(el("br"));
      at += 1;
    } else if (character === "`") {
      const run = /`+/y;
      run.lastIndex = at;
      const ticks = run.exec(text)[0];
      const close = closingTicks(text, at + ticks.length, ticks.length);
      if (close < 0) {
        plain += ticks;
        at += ticks.length;
      } else {
        const code = text.slice(at + ticks.length, close).replaceAll("\n", " ");
        put(el("code", { dir: "auto" }, /^ .* $/.test(code) && code.trim() ? code.slice(1, -1) : code));
        at = close + ticks.length;
      }
    } else if (character === "*" || character === "_" || character === "~") {
      flush();
      let end = at;
      while (text[end] === character) end += 1;
      parts.push(delimiter(text, at, end, character));
      at = end;
    } else if (character === "[" || (character === "!" && text[at + 1] === "[")) {
      flush();
      const isImage = character === "!";
      const opener = { node: document.createTextNode(isImage ? "![" : "["), isImage, at: at + (isImage ? 2 : 1) };
      brackets.push({ opener, index: parts.length });
      parts.push(opener);
      at += isImage ? 2 : 1;
    } else if (character === "]") {
      const end = closeBracket(text, at, parts, brackets, flush, t);
      if (end < 0) plain += "]";
      at = end < 0 ? at + 1 : end;
    } else if (character === "<" && sticky(AUTOLINK, text, at)) {
      const match = sticky(AUTOLINK, text, at);
      if (brackets.length) plain += match[1];
      else put(link(match[1], [match[1]], match[1], t));
      at += match[0].length;
    } else if (character === "<" && sticky(BREAK, text, at)) {
      put(el("br"));
      at += sticky(BREAK, text, at)[0].length;
    } else if (character === "h" && !/\w/.test(text[at - 1] ?? " ") && sticky(BARE_URL, text, at)) {
      const url = trimUrl(sticky(BARE_URL, text, at)[0]);
      // Inside [text](…) the text is a label: an address there must not become a link of its own.
      if (brackets.length) plain += url;
      else put(link(url, [url], url, t));
      at += url.length;
    } else if (character === "&") {
      const match = sticky(/&(amp|lt|gt|quot|apos|nbsp);/y, text, at);
      plain += match ? ENTITIES[match[1]] : "&";
      at += match ? match[0].length : 1;
    } else {
      plain += character;
      at += 1;
    }
  }
  flush();
  return emphasise(parts);
}

function sticky(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function closingTicks(text, from, count) {
  const run = /`+/g;
  run.lastIndex = from;
  for (let match = run.exec(text); match; match = run.exec(text)) if (match[0].length === count) return match.index;
  return -1;
}

function trimUrl(url) {
  let trimmed = url.replace(/[?!.,:;*_~'"]+$/, "");
  while (trimmed.endsWith(")") && count(trimmed, ")") > count(trimmed, "(")) trimmed = trimmed.slice(0, -1);
  return trimmed;
}

function count(text, character) {
  return text.split(character).length - 1;
}

function delimiter(text, start, end, character) {
  const before = start ? text[start - 1] : " ";
  const after = end < text.length ? text[end] : " ";
  const left = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
  const right = !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
  const isWord = character === "_";
  return {
    character,
    count: end - start,
    canOpen: left && (!isWord || !right || PUNCTUATION.test(before)),
    canClose: right && (!isWord || !left || PUNCTUATION.test(after)),
  };
}

/** Handles "]": returns the position after the link it closes, or -1 where there is none. */
function closeBracket(text, at, parts, brackets, flush, t) {
  const bracket = brackets.pop();
  if (!bracket || text[at + 1] !== "(") return -1;
  const target = linkTarget(text, at + 2);
  if (!target) return -1;
  flush();
  let inner = emphasise(parts.splice(bracket.index + 1));
  parts.pop();
  const label = inner.map((node) => node.textContent).join("");
  // An image inside a link became a link of its own, and links do not nest.
  if (inner.some((node) => node.nodeType === Node.ELEMENT_NODE && (node.matches("a") || node.querySelector("a")))) inner = [label];
  const source = text.slice(bracket.opener.at, at);
  const node = bracket.opener.isImage
    ? link(target.url, [`${t.image}: ${label || t.untitled}`], "", t, "image-link")
    : link(target.url, inner, label || source, t);
  parts.push({ node });
  // Links do not nest: an earlier "[" can only be text now.
  if (!bracket.opener.isImage) {
    for (let index = brackets.length - 1; index >= 0; index -= 1) {
      if (!brackets[index].opener.isImage) brackets.splice(index, 1);
    }
  }
  return target.end;
}

const TARGET = /[ \n]*(?:<([^<>\n]*)>|((?:\\.|[^\s\\()]|\([^\s()]*\))*))(?:[ \n]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \n]*\)/y;

function linkTarget(text, from) {
  TARGET.lastIndex = 0;
  const match = TARGET.exec(text.slice(from, from + LONGEST_LINK));
  if (!match) return null;
  return { url: (match[1] ?? match[2]).replace(/\\(?=[!-/:-@[-`{-~])/g, ""), end: from + match[0].length };
}

function emphasise(parts) {
  const openers = [];
  for (let index = 0; index < parts.length; index += 1) {
    const closer = parts[index];
    if (closer.node) continue;
    while (closer.canClose && closer.count) {
      const found = findOpener(parts, openers, closer);
      if (found < 0) break;
      const opener = parts[openers[found]];
      const size = closer.character === "~" ? Math.min(opener.count, closer.count, 2) : opener.count > 1 && closer.count > 1 ? 2 : 1;
      const tag = closer.character === "~" ? "del" : size === 2 ? "strong" : "em";
      const first = openers[found] + 1;
      const inner = parts.splice(first, index - first, { node: null });
      parts[first].node = el(tag, {}, inner.map(nodeOf));
      openers.length = found + 1;
      opener.count -= size;
      closer.count -= size;
      index = first + 1;
      if (!opener.count) {
        parts.splice(openers.pop(), 1);
        index -= 1;
      }
    }
    if (closer.canOpen && closer.count) openers.push(index);
  }
  return parts.map(nodeOf).filter((node) => node.textContent || node.nodeType === Node.ELEMENT_NODE);
}

function findOpener(parts, openers, closer) {
  for (let found = openers.length - 1; found >= Math.max(0, openers.length - 50); found -= 1) {
    const opener = parts[openers[found]];
    if (opener.character !== closer.character) continue;
    if (opener.character === "~" && opener.count !== closer.count) continue;
    const isOdd = (opener.canClose || closer.canOpen) && (opener.count + closer.count) % 3 === 0;
    if (!isOdd || (opener.count % 3 === 0 && closer.count % 3 === 0)) return found;
  }
  return -1;
}

function nodeOf(part) {
  return part.node ?? document.createTextNode(part.character.repeat(part.count));
}

// Links -----------------------------------------------------------------------------------------------------------

/** A link that says where it leads; what leads nowhere safe stays text. */
function link(target, children, label, t, className) {
  const url = safeUrl(target);
  if (!url) return el("span", { class: "no-link", dir: "auto" }, children, label === target ? null : ` (${target})`);
  const place = url.protocol === "mailto:" ? url.pathname : url.host;
  const anchor = el(
    "a",
    {
      href: url.href,
      target: "_blank",
      rel: "noopener noreferrer nofollow",
      referrerpolicy: "no-referrer",
      title: `${t.opens} ${place}`,
      class: className,
      dir: "auto",
    },
    children,
  );
  // Written out in other letters, a host may look like one that it is not.
  if (hostOf(label) === place && label.toLowerCase().includes(place)) return anchor;
  return el("span", { class: "link" }, anchor, el("span", { class: "link-host", dir: "ltr" }, ` (${place})`));
}

function safeUrl(target) {
  try {
    const url = new URL(target);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** The host that a reader of the link's text expects. */
function hostOf(label) {
  const text = label.trim();
  const url = safeUrl(text) ?? (/^[\w-]+(\.[\w-]+)+(\/\S*)?$/.test(text) ? safeUrl(`https://${text}`) : null);
  if (url?.username || url?.password) return "";
  return url?.protocol === "mailto:" ? url.pathname : (url?.host ?? (text.includes("@") ? text : ""));
}

// Rendering -------------------------------------------------------------------------------------------------------

function render(block, t, depth) {
  switch (block.kind) {
    case "heading":
      // The page's own headings are h1 and h2.
      return el(`h${Math.min(block.level + 2, 6)}`, { dir: "auto", class: `h${block.level}` }, inline(block.text, t));
    case "rule":
      return el("hr");
    case "code":
      return code(block, t);
    case "quote":
      return el("blockquote", { dir: "auto" }, renderAll(block.lines, t, depth + 1));
    case "list":
      return el(
        block.ordered ? "ol" : "ul",
        { dir: "auto", start: block.ordered && block.start !== 1 ? block.start : null },
        block.items.map((lines) => item(lines, block.loose, t, depth)),
      );
    case "table":
      return tableNode(block, t);
    default:
      return el("p", { dir: "auto" }, inline(block.text.trimEnd(), t));
  }
}

function renderAll(lines, t, depth) {
  return blocksOf(lines, depth).map((block) => render(block, t, depth));
}

function item(lines, loose, t, depth) {
  const task = /^\[([ xX])\][ \t]+/.exec(lines[0]);
  if (task) lines = [lines[0].slice(task[0].length), ...lines.slice(1)];
  const children = blocksOf(lines, depth + 1).map((block) =>
    block.kind === "paragraph" && !loose ? inline(block.text, t) : render(block, t, depth + 1),
  );
  const box = task && el("span", { role: "img", "aria-label": task[1] === " " ? t.open : t.done }, task[1] === " " ? "☐ " : "☑ ");
  return el("li", { dir: "auto", class: task ? "task" : null }, box, children);
}

function code(block, t) {
  const source = el("code", {}, block.text);
  return el(
    "div",
    { class: "code", dir: "ltr" },
    el("div", { class: "code-head" }, el("span", {}, block.language || t.code), copyButton(() => source.textContent, t)),
    el("pre", { tabindex: "0", role: "region", "aria-label": `${t.code} ${block.language}`.trim() }, source),
  );
}

function tableNode(block, t) {
  const row = (cellsOfRow, tag) =>
    el(
      "tr",
      {},
      block.head.map((_, index) =>
        el(tag, { class: `align-${block.align[index]}`, dir: "auto", scope: tag === "th" ? "col" : null }, inline(cellsOfRow[index] ?? "", t)),
      ),
    );
  return el(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": t.table },
    el("table", {}, el("thead", {}, row(block.head, "th")), el("tbody", {}, block.rows.map((cellsOfRow) => row(cellsOfRow, "td")))),
  );
}

/** Shows a text that grows: what is finished stays untouched, only the last block is made anew. */
export class MarkdownView {
  constructor(container, t, onBlock = () => {}) {
    this.container = container;
    this.t = t;
    this.onBlock = onBlock;
    this.clear();
  }

  clear() {
    this.container.replaceChildren();
    this.text = "";
    this.settled = 0; // characters whose blocks are final
    this.openBlock = null;
    this.openNode = null;
  }

  /** @param {string} whole the whole text so far */
  show(whole) {
    const text = whole.replace(/\r\n?/g, "\n");
    if (text === this.text) return;
    if (!text.startsWith(this.text)) this.clear();
    this.text = text;
    // A line that has not ended may still become anything, but it belongs to the last block either way.
    const lines = text.slice(this.settled).split("\n");
    const blocks = blocksOf(lines, 0);
    blocks.slice(0, -1).forEach((block) => this.place(block, true));
    const last = blocks.at(-1);
    if (!last) return;
    for (let line = 0; line < last.line; line += 1) this.settled += lines[line].length + 1;
    this.place(last, false);
  }

  /** Say that no more text comes. */
  finish() {
    if (this.openNode) this.settle();
    this.settled = this.text.length;
  }

  place(block, isFinal) {
    const was = this.openBlock;
    if (was?.kind === "code" && block.kind === "code" && was.language === block.language && block.text.startsWith(was.text)) {
      this.openNode.querySelector("pre > code").append(block.text.slice(was.text.length));
    } else {
      const node = render(block, this.t, 0);
      if (this.openNode) this.openNode.replaceWith(node);
      else this.container.append(node);
      this.openNode = node;
    }
    this.openBlock = block;
    if (isFinal) this.settle();
  }

  settle() {
    this.openNode.normalize();
    this.onBlock(this.openNode);
    this.openBlock = this.openNode = null;
  }
}
