"""Answers as Markdown: what each construct becomes, and that showing a long one stays cheap."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

OpenTab = Callable[..., Any]

# Together in one process of a parallel run: starting the browser is the slow part.
pytestmark = pytest.mark.xdist_group("console_markdown")

RENDER = """async (text) => {
  const path = document.querySelector('script[type=module]').src.replace('app.js', '');
  const { MarkdownView } = await import(path + 'markdown.js');
  const { textsFor } = await import(path + 'texts.js');
  const box = document.createElement('div');
  const view = new MarkdownView(box, textsFor(['en']));
  view.show(text);
  view.finish();
  for (const e of box.querySelectorAll('*')) {
    for (const name of e.getAttributeNames()) {
      if (!['href', 'start'].includes(name)) e.removeAttribute(name);
    }
  }
  return box.innerHTML;
}"""

# The text in pieces of one to nine characters must end as the same document as the text at once.
PIECEWISE = """async (text) => {
  const path = document.querySelector('script[type=module]').src.replace('app.js', '');
  const { MarkdownView } = await import(path + 'markdown.js');
  const { textsFor } = await import(path + 'texts.js');
  const t = textsFor(['en']);
  const whole = document.createElement('div');
  const view = new MarkdownView(whole, t);
  view.show(text);
  view.finish();
  for (const step of [1, 2, 3, 5, 9]) {
    const grown = document.createElement('div');
    const growing = new MarkdownView(grown, t);
    for (let end = step; end < text.length + step; end += step) growing.show(text.slice(0, end));
    growing.finish();
    if (grown.innerHTML !== whole.innerHTML) return `step ${step}: ${grown.innerHTML} instead of ${whole.innerHTML}`;
  }
  return 'same';
}"""

# The longest pause of a frame while a long answer grows, and the time for it all.
TIMED = """async ([text, step]) => {
  const path = document.querySelector('script[type=module]').src.replace('app.js', '');
  const { MarkdownView } = await import(path + 'markdown.js');
  const { textsFor } = await import(path + 'texts.js');
  const box = document.createElement('div');
  document.body.append(box);
  const view = new MarkdownView(box, textsFor(['en']));
  let longest = 0;
  for (let end = step; end < text.length + step; end += step) {
    const begin = performance.now();
    view.show(text.slice(0, end));
    longest = Math.max(longest, performance.now() - begin);
  }
  view.finish();
  box.remove();
  return longest;
}"""


@pytest.fixture
def page(server: Any, open_tab: OpenTab) -> Page:
    opened: Page = open_tab().page
    expect(opened.get_by_label("Message")).to_be_visible()
    return opened


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("# A\n## B #\n#hash", "<h3>A</h3><h4>B</h4><p>#hash</p>"),
        (
            "*a* **b** ***c*** ~~d~~ `e`",
            "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <del>d</del> <code>e</code></p>",
        ),
        ("snake_case_name and 2 * 3 * 4", "<p>snake_case_name and 2 * 3 * 4</p>"),
        ("**bold with *inner* text**", "<p><strong>bold with <em>inner</em> text</strong></p>"),
        ("**не**важно _слово_", "<p><strong>не</strong>важно <em>слово</em></p>"),
        (r"\*not\* &amp; `a\*b`", r"<p>*not* &amp; <code>a\*b</code></p>"),
        ("``a ` b``", "<p><code>a ` b</code></p>"),
        ("- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("1. a\n\n   more\n2. b", "<ol><li><p>a</p><p>more</p></li><li><p>b</p></li></ol>"),
        ("text\n- item", "<p>text</p><ul><li>item</li></ul>"),
        ("- a\n\ntext", "<ul><li>a</li></ul><p>text</p>"),
        ("> a\n> b\n\nc", "<blockquote><p>a<br>b</p></blockquote><p>c</p>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("a\\\nb", "<p>a<br>b</p>"),
        ("a | b\n--|--\n1 | `x\\|y`", None),
        ("<b>a</b> <br> b", "<p>&lt;b&gt;a&lt;/b&gt; <br> b</p>"),
        ("[a](https://a.invalid/x_(y)) b", None),
    ],
)
def test_each_construct_becomes_its_element(page: Page, markdown: str, html: str | None) -> None:
    rendered = page.evaluate(RENDER, markdown)
    if html is not None:
        assert rendered == html
    elif "|" in markdown:
        assert "<code>x|y</code>" in rendered
        assert rendered.count("<th>") == 2
    else:
        assert 'href="https://a.invalid/x_(y)"' in rendered


def test_a_growing_text_ends_as_the_same_document(page: Page) -> None:
    text = (
        "Intro *with* [a link](https://a.invalid/) and `code`.\r\n\r\n# Head\n\n"
        "- one\n- two\n\n  more\n\n  ```py\n  x = 1\n  ```\n\n1. first\n2. second\n\n"
        "| a | b |\n|---|:-:|\n| 1 | 2 |\n\n> quote\nlazy\n\n~~~\ncode ``` inside\n~~~~\n\n    indented\n\n"
        "***\nlast **line"
    )
    assert page.evaluate(PIECEWISE, text) == "same"


@pytest.mark.parametrize(
    "text",
    [
        "A paragraph with **bold** and `code` and [a link](https://a.invalid/).\n\n" * 2000,
        "```python\n" + "value = compute(value)  # and so on\n" * 5000,
        "- an item of one endless list with `code`\n" * 800,
        "word " * 3000,
        "[" * 15_000,
        "*a_" * 6000,
        "`a``b```c" * 2000,
        "| a " * 3000 + "\n" + "|---" * 3000,
        "> " * 5000,
        "-" + " " * 50_000 + "x",
        "#" + " " * 50_000 + "x",
        "a" + " " * 15_000 + "\nb",
        "http://" + "a!" * 8000,
        "[a](" * 4000,
    ],
    ids=lambda text: text[:12].strip(),
)
def test_no_text_makes_the_page_stutter(page: Page, text: str) -> None:
    longest = page.evaluate(TIMED, [text, max(len(text) // 40, 1)])
    # Not a timing: quadratic work takes so long here that even a slow and busy machine shows the difference.
    assert longest < 10_000
