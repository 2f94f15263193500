"""How the page looks and whether everybody can use it, at phone and desktop width, light and dark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

OpenTab = Callable[..., Any]

# Together in one process of a parallel run: starting the browser is the slow part.
pytestmark = pytest.mark.xdist_group("console_appearance")

ANSWER = """Here is what I found.

## Steps

1. Open `README.md`
2. Run the **tests**, then look at _coverage_
   - unit tests
   - flows

| part | language | lines |
|:-----|:--------:|------:|
| core | Python | 12,345 |
| console | JavaScript | 1,234 |

```python
def greet(name: str) -> str:
    return f"Hello, {name}! This is a rather long line that has to scroll sideways on a narrow screen, is it not?"
```

> A quoted remark, with a [link](https://docs.python.org/3/).

See also https://example.com/path.
"""

# Every text node against what is painted behind it, after WCAG 2.2 (1.4.3); what is hidden or disabled is left out.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, layer) => over([...layer], under), [255, 255, 255]);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    if (element.closest('.visually-hidden, :disabled, noscript, option')) continue;
    const ground = behind(element), ink = over(rgba(style.color), ground);
    const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24;
    if (ratio < (isLarge ? 3 : 4.5)) poor.push(`${node.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

# Controls without a name, ids used twice, scrolling regions that the keyboard cannot reach, landmarks.
FLAWS = """() => {
  const flaws = [];
  const isShown = (e) => e.checkVisibility({visibilityProperty: true});
  for (const e of document.querySelectorAll('button, a[href], input, select, textarea, [role=region]')) {
    if (!isShown(e)) continue;
    const name = e.getAttribute('aria-label')
      || [...(e.labels ?? [])].map((l) => l.textContent).join('') || e.textContent;
    if (!name.trim()) flaws.push(`no name: ${e.outerHTML.slice(0, 80)}`);
    const box = e.getBoundingClientRect();
    const isSmall = box.width < 24 || box.height < 24;
    if (e.matches('button') && isSmall) flaws.push(`too small: ${e.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => flaws.push(`id used twice: ${id}`));
  for (const e of document.querySelectorAll('pre, .table')) {
    if (isShown(e) && e.tabIndex < 0) flaws.push(`cannot be scrolled by keyboard: ${e.outerHTML.slice(0, 60)}`);
  }
  if (document.querySelectorAll('main').length !== 1) flaws.push('needs one main');
  if (document.querySelectorAll('h1').length !== 1) flaws.push('needs one h1');
  if (!document.documentElement.lang) flaws.push('no language');
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) flaws.push(`wider than the screen: ${width}`);
  return flaws;
}"""


def check(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=folder / f"{name}.png")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(FLAWS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_view_is_readable_and_usable(
    server: Any, open_tab: OpenTab, tmp_path: Path, width: int, scheme: str
) -> None:
    server.say(server.new_session("How do I test a plugin with the harness of the kit?"), "Like this.")
    log = server.new_session("Find the tests")
    server.say(log, ANSWER, user="Where do I start?\nAnd how?")
    server.begin(log, "trn_2", "Now run them")
    call = {"tool_call_id": "call_0", "tool": "read_file"}
    server.emit(log, "tool.requested", {**call, "arguments": {"path": "docs/index.md"}, "risk": "read"}, "trn_2")
    server.emit(log, "tool.completed", {**call, "content": "# Iskra\n\nAn agent server.", "seconds": 0.42}, "trn_2")
    call = {"tool_call_id": "call_2", "tool": "read_file"}
    server.emit(log, "tool.requested", {**call, "arguments": {"path": "docs/missing.md"}, "risk": "read"}, "trn_2")
    server.emit(
        log, "tool.failed", {**call, "code": "tool", "message": "There is no such file.", "seconds": 0.01}, "trn_2"
    )
    server.ask_approval(log, {"command": "python -m pytest\n\trm\u202e -rf \u001b[31m/", "timeout": 30}, "trn_2")
    size = {"width": width, "height": 800, "color_scheme": scheme}
    page = open_tab(f"#/s/{log.id}", **size).page
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    check(page, tmp_path, "approval")
    page.locator(".tool summary").last.click()
    page.locator(".scroller").evaluate("e => e.scrollTop = 0")
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible()
    check(page, tmp_path, "answer")
    page.get_by_role("button", name="Deny").click()
    expect(page.locator(".card h3")).to_have_text("Denied by owner")
    server.emit(log, "question.asked", {"question": "Which folder?", "options": ["core", "sdk"], "step": 4}, "trn_2")
    expect(page.get_by_role("button", name="sdk")).to_be_visible()
    check(page, tmp_path, "question")
    page.get_by_role("button", name="sdk").click()
    error = {
        "code": "all_targets_failed",
        "message": "No target of the alias 'default' could answer.",
        "mend": "Start the model server.",
    }
    server.emit(log, "turn.failed", error, "trn_2")
    expect(page.locator(".failure")).to_contain_text("Start the model server.")
    check(page, tmp_path, "failure")
    if width == 360:
        page.get_by_role("button", name="Menu", exact=True).click()
        expect(page.locator(".sidebar")).to_have_css("transform", "none")
        check(page, tmp_path, "menu")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Menu", exact=True)).to_be_focused()

    for place in ("", "#/status", "#/connect"):
        page = open_tab(place, **size).page
        expect(page.locator("h2:visible").last).to_be_visible()
        if place == "#/status":
            expect(page.locator(".troubled")).to_contain_text("weather")
        check(page, tmp_path, place[2:] or "welcome")
    server.is_signed_in = False
    page = open_tab(may_complain=True, **size).page
    expect(page.get_by_role("heading", name="Sign in")).to_be_focused()
    page.locator(".sign-in img").evaluate("image => image.decode()")
    check(page, tmp_path, "sign-in")
