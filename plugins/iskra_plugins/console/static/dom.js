// Builds elements. Text only ever becomes text nodes: nothing in this page turns a string into markup.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false && child !== "") parent.append(child);
  }
}

const ICONS = {
  menu: "M3 6h18M3 12h18M3 18h18",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M5 12l7-7 7 7",
  stop: "M7 7h10v10H7z",
  down: "M12 5v14M5 12l7 7 7-7",
  close: "M6 6l12 12M18 6L6 18",
  spark: "M13 2L5 14h6l-1 8 9-13h-6z",
};

export function icon(name) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// What a person cannot see, or what makes text appear in another order than it is stored: C0 and C1 controls, spaces
// that are not the ordinary one, soft hyphen, zero-width and bidirectional controls, line separators, fillers, variation selectors, tag characters.
const INVISIBLE =
  /[\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

const SYMBOLS = { "\n": "↵", "\t": "⇥", "\r": "CR", "\u001b": "ESC", "\u0000": "NUL" };

/** Returns nodes that show a text exactly, with what is invisible marked; line ends too, unless they are layout. */
export function visibleText(text, { marksLines = true } = {}) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(INVISIBLE)) {
    const character = match[0];
    if (character === "\n" && !marksLines) continue;
    if (match.index > from) nodes.push(text.slice(from, match.index));
    const code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    nodes.push(el("span", { class: "control", title: code }, SYMBOLS[character] ?? code));
    if (character === "\n") nodes.push("\n");
    from = match.index + character.length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

/** A button that copies what `text()` returns and says so. */
export function copyButton(text, t, label = t.copy) {
  const button = el("button", { type: "button", class: "quiet copy" }, label);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? t.copied : t.copyFailed;
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard interface exists only on https and on this machine; the old way works everywhere.
    const area = el("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
